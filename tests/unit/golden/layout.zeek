redef Cluster::nodes = {
	["logger"] = [$node_type=Cluster::LOGGER, $ip=10.0.0.1, $p=2201/tcp, $manager="manager"],
	["manager"] = [$node_type=Cluster::MANAGER, $ip=10.0.0.1, $p=2200/tcp, $metrics_port=9000/tcp],
	["proxy"] = [$node_type=Cluster::PROXY, $ip=10.0.0.1, $p=2202/tcp, $manager="manager"],
	["worker-01"] = [$node_type=Cluster::WORKER, $ip=127.0.0.1, $manager="manager"],
	["worker-02"] = [$node_type=Cluster::WORKER, $ip=10.0.0.2, $manager="manager", $metrics_port=9001/tcp],
};
redef Cluster::manager_is_logger = F;
