@load base/frameworks/cluster
@load base/frameworks/telemetry
redef Cluster::Backend::ZeroMQ::listen_xpub_endpoint = "tcp://10.0.0.1:5555";
redef Cluster::Backend::ZeroMQ::listen_xsub_endpoint = "tcp://10.0.0.1:5556";
redef Cluster::Backend::ZeroMQ::connect_xpub_endpoint = "tcp://10.0.0.1:5556";
redef Cluster::Backend::ZeroMQ::connect_xsub_endpoint = "tcp://10.0.0.1:5555";
redef Telemetry::metrics_address = "10.0.0.1";
redef Log::default_rotation_postprocessor_cmd = "";
redef Log::default_rotation_interval = 0.000000 secs;
redef Log::default_rotation_dir = "/srv/\042spool\042/log-queue";
redef Log::rotation_format_func = archiver_rotation_format_func;
redef LogAscii::enable_leftover_log_rotation = T;
