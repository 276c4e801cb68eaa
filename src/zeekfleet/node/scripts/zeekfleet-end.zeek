##! For a cluster that reads a trace and is then stopped node after node: tells who has heard all that another had to
##! say. A Zeek that is told to end drops what it has received but not looked at yet, so nobody may be told too early.
##!
##! Load it last: streams are handed on in the order in which their names are known, and this one's lines must come
##! after all others.

@load ./zeekfleet-node

module Zeekfleet;

export {
	redef enum Log::ID += {
		## Its lines name nodes whose other log lines have all arrived.
		END_LOG,
	};

	type End: record {
		node: string &log;
	};

	## A node has nothing more to say.
	global end_of_node: event(node: string);

	## Where a node notes, a line each, the names of those that it has heard all of.
	const heard_file = ".heard" &redef;

	## Events cause further events. So many generations of them are waited for.
	const end_generations = 20 &redef;
}

global end_later: event(generations: count);
global heard_later: event(node: string, generations: count);

event zeek_init()
	{
	Log::create_stream(END_LOG, [$columns=End, $path="zeekfleet-end"]);
	# One form, whatever other logs have.
	Log::add_filter(END_LOG, [$name="default", $path="zeekfleet-end", $writer=Log::WRITER_ASCII,
	                          $config=table(["use_json"] = "F", ["gzip_level"] = "0")]);
	Log::set_buf(END_LOG, F);
	}

event end_later(generations: count)
	{
	if ( generations > 0 )
		{
		event end_later(generations - 1);
		return;
		}

	Cluster::publish(node_topic, Zeekfleet::end_of_node, Cluster::node);
	Log::write(END_LOG, End($node=Cluster::node));
	}

event heard_later(node: string, generations: count)
	{
	if ( generations > 0 )
		{
		event heard_later(node, generations - 1);
		return;
		}

	local heard = open_for_append(heard_file);
	write_file(heard, fmt("%s\n", node));
	close(heard);
	}

event Zeekfleet::end_of_node(node: string)
	{
	event heard_later(node, end_generations);
	}

event zeek_done() &priority=-1000000
	{
	if ( Cluster::node != "" && getenv("ZEEKCTL_CHECK_CONFIG") == "" )
		event end_later(end_generations);
	}
