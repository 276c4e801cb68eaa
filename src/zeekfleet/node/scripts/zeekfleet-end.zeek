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

	## A node has said all that it has to say for now: it has read its trace ("NODE read"), it has heard all of another
	## one that has ended ("NODE after OTHER"), or it has ended itself ("NODE").
	global mark: event(text: string);

	## Where a node notes, a line each, the marks that it has heard, and with them all that was said before.
	const heard_file = ".heard" &redef;

	## Events cause further events. So many generations of them are waited for.
	const end_generations = 20 &redef;
}

global say_later: event(text: string, generations: count);
global heard_later: event(text: string, generations: count);

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

	# Names have no spaces: that was an end.
	if ( " " !in text )
		event say_later(fmt("%s after %s", Cluster::node, text), 0);
	}

event Zeekfleet::mark(text: string)
	{
	event heard_later(text, end_generations);
	}

event Pcap::file_done(path: string)
	{
	if ( is_cluster_node() )
		event say_later(fmt("%s read", Cluster::node), end_generations);
	}

event zeek_done() &priority=-1000000
	{
	if ( is_cluster_node() )
		event say_later(Cluster::node, end_generations);
	}
