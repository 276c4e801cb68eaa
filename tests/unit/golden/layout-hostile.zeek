redef Cluster::nodes = {
	["gr\303\266\303\237e%s"] = [$node_type=Cluster::WORKER, $ip=[fd00::2], $manager="m\042]=[$x\1341"],
	["m\042]=[$x\1341"] = [$node_type=Cluster::MANAGER, $ip=[fd00::1], $p=2200/tcp, $metrics_port=9000/tcp],
};
redef Cluster::manager_is_logger = T;
