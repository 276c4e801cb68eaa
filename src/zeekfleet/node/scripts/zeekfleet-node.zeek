##! Lets an agent talk to this cluster node: the events of Management::Node::API,
##! over whatever cluster back end is loaded. Zeek's own management scripts for
##! nodes must not be loaded beside it: they would dial an agent by Broker.

@load base/frameworks/cluster
@load ./zeekfleet-dispatch
@load ./zeekfleet-hold
@load ./zeekfleet-mailbox
@load ./zeekfleet-trace

module Zeekfleet;

export {
	## Agents and nodes publish here.
	const node_topic = "zeek/management/node" &redef;

	## After its start a node says hello this many times at most, until somebody answers.
	const hello_limit = 10 &redef;

	## The time before the second hello; it doubles from one to the next.
	const hello_interval = 50 msec &redef;

	## Everybody says hello when a new agent connects, and once more after this time,
	## since the subscriptions of a fresh connection take a moment to spread.
	const hello_repetition = 1 sec &redef;

	## Agents, and the nodes they connect to, publish it to hear from every node once more.
	global hello_request: event();
}

module Management::Node::API;

export {
	## The agent wants something done by the named nodes, or by all if there are no names.
	global node_dispatch_request: event(reqid: string, action: vector of string, nodes: set[string] &default=set());

	## The outcome on one node.
	global node_dispatch_response: event(reqid: string, result: Zeekfleet::Result);

	## The node can be talked to.
	global notify_node_hello: event(node: string);
}

module Zeekfleet;

global management_log: file;
global heard_from_agent = F;
global say_hello_again: event(tries: count, pause: interval);
global gather_hellos: event();

function open_log()
	{
	local name = fmt("management-%s.log", Cluster::node);
	local fresh = file_size(name) <= 0;
	management_log = open_for_append(name);
	set_buf(management_log, F);

	if ( fresh )
		# Raw: print would escape the tabs.
		write_file(management_log, string_cat(
		    "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n",
		    "#path\tmanagement-", Cluster::node, "\n",
		    "#open\t", strftime("%Y-%m-%d-%H-%M-%S", current_time()), "\n",
		    "#fields\tts\tnode\tlevel\trole\tmessage\n",
		    "#types\ttime\tstring\tstring\tstring\tstring\n"));
	}

function note(level: string, message: string)
	{
	write_file(management_log, fmt("%.6f\t%s\t%s\tNODE\t%s\n", time_to_double(current_time()), Cluster::node,
	    level, gsub(message, /[\x00-\x1f]/, " ")));
	}

function tell_peers()
	{
	local missing = missing_peers();
	Cluster::publish(node_topic, Zeekfleet::notify_peers, Cluster::node, missing);

	# One that is cut off from the others reaches its agent in this way only.
	mail_peers(missing);
	}

hook Zeekfleet::peers_changed()
	{
	tell_peers();
	}

function say_hello()
	{
	# First, so that whoever hears the hello knows.
	if ( |missing_peers()| > 0 )
		tell_peers();

	Cluster::publish(node_topic, Management::Node::API::notify_node_hello, Cluster::node);

	if ( trace_read != "" )
		Cluster::publish(node_topic, Zeekfleet::notify_trace_done, Cluster::node, trace_read);
	}

event Management::Node::API::node_dispatch_request(reqid: string, action: vector of string, nodes: set[string])
	{
	heard_from_agent = T;
	trace_overdue();

	if ( |nodes| > 0 && Cluster::node !in nodes )
		return;

	local result = outcome(reqid, action);
	note("DEBUG", fmt("dispatch %s: %s", join_string_vec(action, " "), result$success ? "success" : result$error));
	Cluster::publish(node_topic, Management::Node::API::node_dispatch_response, reqid, result);
	}

event Zeekfleet::hello_request()
	{
	heard_from_agent = T;
	say_hello();
	}

event Cluster::websocket_client_added(endpoint: Cluster::EndpointInfo, subscriptions: string_vec)
	{
	note("INFO", "linked to the agent");
	event gather_hellos();
	schedule hello_repetition { gather_hellos() };
	}

# The agent dials one node only; what is published here does not come back to this node.
event gather_hellos()
	{
	say_hello();
	Cluster::publish(node_topic, Zeekfleet::hello_request);
	}

# Nodes that no agent dials reach it through others, which may not be up yet.
event say_hello_again(tries: count, pause: interval)
	{
	if ( heard_from_agent )
		return;

	say_hello();

	if ( tries < hello_limit )
		schedule pause { say_hello_again(tries + 1, 2 * pause) };
	}

event Pcap::file_done(path: string)
	{
	trace_read = path;
	note("INFO", fmt("%s is read", path));
	Cluster::publish(node_topic, Zeekfleet::notify_trace_done, Cluster::node, path);
	}

event zeek_init() &priority=-10
	{
	if ( Cluster::node == "" || getenv("ZEEKCTL_CHECK_CONFIG") != "" )
		return;

	open_log();
	Cluster::subscribe(node_topic);
	note("INFO", fmt("node %s is live, Zeek %s", Cluster::node, zeek_version()));
	event say_hello_again(1, hello_interval);
	}

event zeek_done()
	{
	if ( Cluster::node != "" && getenv("ZEEKCTL_CHECK_CONFIG") == "" )
		note("INFO", fmt("node %s ends", Cluster::node));
	}
