##! Lets an agent reach this cluster node: the events of Management::Node::API, over
##! any cluster back end. Do not load Zeek's own management scripts for nodes as
##! well: they would dial an agent by Broker.

@load base/frameworks/cluster
@load ./zeekfleet-dispatch
@load ./zeekfleet-hold
@load ./zeekfleet-mailbox
@load ./zeekfleet-trace

module Zeekfleet;

export {
	## The topic on which agents and nodes exchange events.
	const node_topic = "zeek/management/node" &redef;

	## The most times that a node says hello after its start, until an agent answers.
	const hello_limit = 10 &redef;

	## The time before the second hello; it doubles for each further one.
	const hello_interval = 50 msec &redef;

	## All nodes say hello when a new agent connects, and again after this time,
	## because subscriptions of a new connection take a moment to spread.
	const hello_repetition = 1 sec &redef;

	## Asks all nodes to say hello again. Agents and the nodes that they connect to publish it.
	global hello_request: event();
}

module Management::Node::API;

export {
	## The agent has the named nodes run an action, or all nodes if none is named.
	global node_dispatch_request: event(reqid: string, action: vector of string, nodes: set[string] &default=set());

	## One node's result.
	global node_dispatch_response: event(reqid: string, result: Zeekfleet::Result);

	## The node is up and answers requests.
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
		# Not with print, which would escape the tabs.
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

	# A node that is cut off from the others reaches its agent only through the mailbox.
	mail_peers(missing);
	}

hook Zeekfleet::peers_changed()
	{
	tell_peers();
	}

function say_hello()
	{
	# Before the hello, so that the agent knows the missing peers when it receives the hello.
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

# The agent dials only one node, which asks the others to say hello. It has to say hello by itself: what a node publishes
# does not come back to it.
event gather_hellos()
	{
	say_hello();
	Cluster::publish(node_topic, Zeekfleet::hello_request);
	}

# Repeat the hello: a node that no agent dials reaches the agent through others, which may not be up yet.
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
