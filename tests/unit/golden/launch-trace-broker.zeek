@load base/frameworks/cluster
@load base/frameworks/telemetry
redef Broker::default_listen_address = "127.0.0.1";
redef Broker::peer_buffer_size = 1000000000;
event zeek_init()
	{
	if ( ! Cluster::listen_websocket([$listen_addr=127.0.0.1, $listen_port=7700/tcp]) )
		Reporter::fatal("node worker-01 cannot listen for WebSocket clients on 127.0.0.1:7700");
	}
