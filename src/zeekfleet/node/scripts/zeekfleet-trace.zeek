##! Reading a trace as part of a cluster: begins when the others are there, and its end is told.

@load base/frameworks/cluster
@load ./zeekfleet-peers

module Zeekfleet;

export {
	## The trace has been read to its end.
	global notify_trace_done: event(node: string, path: string);

	## The trace that has been read to its end, or "".
	global trace_read = "";

	## A trace is read after this time even if some of the manager, the loggers and the proxies are not there.
	const trace_patience = 10 sec &redef;

	## A trace has not begun although the patience is over: begin.
	global trace_overdue: function();
}

global trace_waits_for: set[string];
global trace_waits_since: time;

function begin_trace()
	{
	clear_table(trace_waits_for);
	continue_processing();
	}

# Called when something arrives: no timer fires before the first packet.
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
