##! For a cluster that reads a trace and is then stopped node after node: tells when a node has received everything
##! that another one has sent. A Zeek that is told to end drops what it has received but not processed, and what others
##! have not received from it within a few seconds. Therefore a node may be stopped only when it has received all
##! messages, and when all others have received its own.
##!
##! Each node publishes marks on the same connections as everything else: whoever has received a mark has also received
##! what was sent before it.
##!
##! Load this script last: log streams are flushed in the order in which their names were declared, and the lines of
##! this one must come after those of all others.

@load ./zeekfleet-node

module Zeekfleet;

export {
	redef enum Log::ID += {
		## Each line is a mark: a logger that has it also has all earlier log lines of that node.
		END_LOG,
	};

	type End: record {
		node: string &log;
	};

	## A node has sent everything that it had to send so far. The texts: "NODE read", it has read its trace;
	## "NODE settled", it has also received the others' answers to that; "NODE", it has ended; "NODE after MARK", it has
	## received this mark.
	global mark: event(text: string);

	## The file in which a node writes the marks that it has received, one on each line.
	const heard_file = ".heard" &redef;

	## Events cause further events; a node waits for this many generations of them before it sends a mark.
	const end_generations = 20 &redef;
}

# Wait for the other nodes for a long time: what a worker sends before they are connected is lost.
redef trace_patience = 1 hr;

global say_later: event(text: string, generations: count);
global heard_later: event(text: string, generations: count);

## The managers and proxies that have not received the mark that this node has read its trace.
global unsettled: set[string];

function is_cluster_node(): bool
	{
	return Cluster::node != "" && getenv("ZEEKCTL_CHECK_CONFIG") == "";
	}

event zeek_init()
	{
	Log::create_stream(END_LOG, [$columns=End, $path="zeekfleet-end"]);
	# The format is fixed, whatever format other logs have, because a program reads this log.
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

# A worker publishes the FTP and IRC connections that it expects; a proxy or the manager forwards them to all workers,
# also back to the sender. While it reads a trace, they come back so late that the worker forgets what it has found
# since. If there is only one worker, no other node needs them, so they are not forwarded.
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
