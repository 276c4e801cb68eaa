@load base/frameworks/cluster
@load base/frameworks/telemetry
redef Cluster::Backend::ZeroMQ::listen_xpub_endpoint = "tcp://10.0.0.1:5555";
redef Cluster::Backend::ZeroMQ::listen_xsub_endpoint = "tcp://10.0.0.1:5556";
redef Cluster::Backend::ZeroMQ::connect_xpub_endpoint = "tcp://10.0.0.1:5556";
redef Cluster::Backend::ZeroMQ::connect_xsub_endpoint = "tcp://10.0.0.1:5555";
redef Telemetry::metrics_address = "127.0.0.1";
event zeek_init()
	{
	if ( ! Cluster::listen_websocket([$listen_addr=127.0.0.1, $listen_port=7700/tcp]) )
		Reporter::fatal("node manager cannot listen for WebSocket clients on 127.0.0.1:7700");
	}
