@load base/frameworks/cluster
@load base/frameworks/telemetry
redef Cluster::Backend::ZeroMQ::listen_xpub_endpoint = "tcp://[fd00::1]:6555";
redef Cluster::Backend::ZeroMQ::listen_xsub_endpoint = "tcp://[fd00::1]:6556";
redef Cluster::Backend::ZeroMQ::connect_xpub_endpoint = "tcp://[fd00::1]:6556";
redef Cluster::Backend::ZeroMQ::connect_xsub_endpoint = "tcp://[fd00::1]:6555";
redef Cluster::Backend::ZeroMQ::ipv6 = T;
