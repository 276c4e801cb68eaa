@load base/frameworks/cluster
@load base/frameworks/telemetry
redef Cluster::Backend::ZeroMQ::listen_xpub_endpoint = "tcp://10.0.0.1:5555";
redef Cluster::Backend::ZeroMQ::listen_xsub_endpoint = "tcp://10.0.0.1:5556";
redef Cluster::Backend::ZeroMQ::connect_xpub_endpoint = "tcp://10.0.0.1:5556";
redef Cluster::Backend::ZeroMQ::connect_xsub_endpoint = "tcp://10.0.0.1:5555";
redef Telemetry::metrics_address = "10.0.0.1";
