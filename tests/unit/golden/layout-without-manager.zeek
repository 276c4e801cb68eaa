redef Cluster::nodes = {
	["w"] = [$node_type=Cluster::WORKER, $ip=127.0.0.1],
};
redef Cluster::manager_is_logger = T;
