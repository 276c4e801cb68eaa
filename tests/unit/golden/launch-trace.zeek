@load base/frameworks/cluster
@load base/frameworks/telemetry
redef Cluster::Backend::ZeroMQ::listen_xpub_endpoint = "tcp://10.0.0.1:5555";
redef Cluster::Backend::ZeroMQ::listen_xsub_endpoint = "tcp://10.0.0.1:5556";
redef Cluster::Backend::ZeroMQ::connect_xpub_endpoint = "tcp://10.0.0.1:5556";
redef Cluster::Backend::ZeroMQ::connect_xsub_endpoint = "tcp://10.0.0.1:5555";
redef Cluster::Backend::ZeroMQ::log_sndhwm = 0;
redef Cluster::Backend::ZeroMQ::log_rcvhwm = 0;
redef Cluster::Backend::ZeroMQ::linger_ms = -1;
redef Cluster::Backend::ZeroMQ::xpub_sndhwm = 0;
redef Cluster::Backend::ZeroMQ::onloop_queue_hwm = 0;
event zeek_init()
	{
	if ( ! Cluster::listen_websocket([$listen_addr=127.0.0.1, $listen_port=7700/tcp]) )
		Reporter::fatal("node worker-01 cannot listen for WebSocket clients on 127.0.0.1:7700");
	}
