##! Reads a trace as a node of a cluster: waits until the other nodes are connected, and tells when it has finished.

@load base/frameworks/cluster
@load ./zeekfleet-peers

module Zeekfleet;

export {
	## Tells that a node has read its trace to the end.
	global notify_trace_done: event(node: string, path: string);

	## The path of the trace that this node has read to the end, or "".
	global trace_read = "";

	## After this time the trace is read even if some managers, loggers or proxies are not connected.
	const trace_patience = 10 sec &redef;

	## Begin to read the trace if trace_patience is over.
	global trace_overdue: function();
}

global trace_waits_for: set[string];
global trace_waits_since: time;

function begin_trace()
	{
	clear_table(trace_waits_for);
	continue_processing();
	}

# Called whenever an event arrives, because no timer expires before the first packet is read.
function trace_overdue()
	{
	if ( |trace_waits_for| > 0 && current_time() - trace_waits_since > trace_patience )
		begin_trace();
	}

event zeek_init() &priority=-10
	{
	if ( ! reading_traces() || Cluster::node == "" || getenv("ZEEKCTL_CHECK_CONFIG") != "" )
		return;

	for ( name, other in Cluster::nodes )
		if ( name != Cluster::node && other$node_type in must_be_seen )
			add trace_waits_for[name];

	if ( |trace_waits_for| == 0 )
		return;

	trace_waits_since = current_time();
	suspend_processing();
	}

event Cluster::node_up(name: string, id: string) &priority=-20
	{
	if ( name !in trace_waits_for )
		return;

	if ( |trace_waits_for| == 1 )
		begin_trace();
	else
		delete trace_waits_for[name];
	}
