@load base/frameworks/cluster
@load base/frameworks/telemetry
redef Broker::default_listen_address = "fd00::1";
redef Telemetry::metrics_address = "fd00::1";
event zeek_init()
	{
	if ( ! Cluster::listen_websocket([$listen_addr=[::1], $listen_port=7700/tcp]) )
		Reporter::fatal("node m\042]=[$x\1341 cannot listen for WebSocket clients on [::1]:7700");
	}
