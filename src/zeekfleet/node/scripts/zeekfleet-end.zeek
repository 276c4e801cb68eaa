##! For a cluster that reads a trace and is then stopped node after node: tells who has heard all that another had to
##! say. A Zeek that is told to end drops what it has received but not looked at yet, and what others have not taken
##! from it within a few seconds. So nobody may be told before it has heard all, and all have heard it.
##!
##! Load it last: streams are handed on in the order in which their names are known, and this one's lines must come
##! after all others.

@load ./zeekfleet-node

module Zeekfleet;

export {
	redef enum Log::ID += {
		## Its lines are marks, of which all earlier log lines have arrived.
		END_LOG,
	};

	type End: record {
		node: string &log;
	};

	## A node has said all that it has to say for now. "NODE read": it has read its trace; "NODE settled": and has heard
	## what others answered to that; "NODE": it has ended; "NODE after MARK": it has heard one of these marks.
	global mark: event(text: string);

	## Where a node notes, a line each, the marks that it has heard, and with them all that was said before.
	const heard_file = ".heard" &redef;

	## Events cause further events. So many generations of them are waited for.
	const end_generations = 20 &redef;
}

# What a worker says before the others are connected is lost.
redef trace_patience = 1 hr;

global say_later: event(text: string, generations: count);
global heard_later: event(text: string, generations: count);

## Managers and proxies that have not heard yet that this node has read its trace.
global unsettled: set[string];

function is_cluster_node(): bool
	{
	return Cluster::node != "" && getenv("ZEEKCTL_CHECK_CONFIG") == "";
	}

event zeek_init()
	{
	Log::create_stream(END_LOG, [$columns=End, $path="zeekfleet-end"]);
	# One form, whatever other logs have.
	Log::add_filter(END_LOG, [$name="default", $path="zeekfleet-end", $writer=Log::WRITER_ASCII,
	                          $config=table(["use_json"] = "F", ["gzip_level"] = "0")]);
	Log::set_buf(END_LOG, F);
	}

event say_later(text: string, generations: count)
	{
	if ( generations > 0 )
		{
		event say_later(text, generations - 1);
		return;
		}

	Cluster::publish(node_topic, Zeekfleet::mark, text);
	Log::write(END_LOG, End($node=text));
@ifdef ( Broker::flush_logs )
	Broker::flush_logs();
@endif
	}

event heard_later(text: string, generations: count)
	{
	if ( generations > 0 )
		{
		event heard_later(text, generations - 1);
		return;
		}

	local heard = open_for_append(heard_file);
	write_file(heard, fmt("%s\n", text));
	close(heard);

	local parts = split_string(text, / after /);

	if ( |parts| == 1 )
		event say_later(fmt("%s after %s", Cluster::node, text), 0);
	else if ( parts[0] in unsettled && parts[1] == fmt("%s read", Cluster::node) )
		{
		delete unsettled[parts[0]];

		if ( |unsettled| == 0 )
			event say_later(fmt("%s settled", Cluster::node), 0);
		}
	}

event Zeekfleet::mark(text: string)
	{
	event heard_later(text, end_generations);
	}

event Pcap::file_done(path: string)
	{
	if ( ! is_cluster_node() )
		return;

	for ( name, other in Cluster::nodes )
		if ( other$node_type in set(Cluster::MANAGER, Cluster::PROXY) )
			add unsettled[name];

	event say_later(fmt("%s read", Cluster::node), end_generations);
	}

# What a worker expects of FTP and IRC it tells the others by way of a proxy or the manager, and hears it itself again.
# When it reads a trace, that is so late that it forgets what it has found since. Where it is the only worker, nobody
# needs to be told.
event zeek_init() &priority=-1000000
	{
	local own = Cluster::local_node_type();

	if ( own != Cluster::MANAGER && own != Cluster::PROXY )
		return;

	if ( Cluster::get_node_count(Cluster::WORKER) != 1 )
		return;

	disable_module_events("FTP");
	disable_module_events("IRC");
	}

event zeek_done() &priority=-1000000
	{
	if ( is_cluster_node() )
		event say_later(Cluster::node, end_generations);
	}
