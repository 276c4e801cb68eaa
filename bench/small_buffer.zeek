##! A packet buffer that costs nothing to allocate.

redef Pcap::bufsize = 4;
