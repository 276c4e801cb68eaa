"""What tests of several folders share: daemons as processes, free ports, faulty links, peers that do as told."""
