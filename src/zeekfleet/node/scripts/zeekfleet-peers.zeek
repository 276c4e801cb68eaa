##! Knows whether this node is connected to the nodes that it should be connected to: all managers, loggers and proxies,
##! except those of its own role. With each back end, a node that connects sends Cluster::hello, and
##! Cluster::node_down tells that one is gone. With ZeroMQ that is not enough: all events go through the manager's hub,
##! and logs go to the loggers on separate connections. The back end's monitor reports the state of these.

@load base/frameworks/cluster
@load base/utils/addrs

module Zeekfleet;

export {
	## Another node of the cluster, as this one sees it.
	type Peer: record {
		node: string;
		id: string;
		## Since when it is up, in seconds since 1970.
		since: double;
	};

	## The connected nodes, by name.
	global peers: table[string] of Peer;

	## Tells which nodes a node should be connected to and is not, sorted by name.
	global notify_peers: event(node: string, missing: string_vec);

	## The nodes that this one should be connected to and is not, sorted by name.
	global missing_peers: function(): string_vec;

	## Called when the result of missing_peers has changed.
	global peers_changed: hook();

	## The node with this id asks the receiver to send it Cluster::hello.
	global hello_wanted: event(id: string);

	## The time after which a node that was reported gone is asked to say hello, in case it is still there. The next
	## question comes after twice that time, and so on.
	const return_interval = 1 sec &redef;

	## The longest time between two such questions.
	const longest_return_interval = 1 min &redef;
}

const must_be_seen = set(Cluster::LOGGER, Cluster::MANAGER, Cluster::PROXY);

## Whether this node was connected to all nodes that it should be connected to, at some time. Until then only its hellos
## tell which nodes are missing.
global joined = F;

global missing_before: string_vec;

## The ids of nodes that were reported gone, by name.
global gone: table[string] of string;

## The addresses to which there is no connection now, such as tcp://127.0.0.1:2201.
global lost_places: set[string];

@ifdef ( Cluster::Backend::ZeroMQ::monitoring_event )

# The numbers of the monitor's events, from zmq.h.
const monitor_connected = 0x0001;
const monitor_connect_retried = 0x0004;
const monitor_disconnected = 0x0200;

@endif

## Whether this node's connections to another one are up, as far as the monitor tells.
function is_reached(other: Cluster::Node): bool
	{
	if ( other$node_type == Cluster::LOGGER && other?$p )
		return fmt("tcp://%s:%d", addr_to_uri(other$ip), port_to_count(other$p)) !in lost_places;

@ifdef ( Cluster::Backend::ZeroMQ::connect_xpub_endpoint )
	if ( other$node_type == Cluster::MANAGER )
		return Cluster::Backend::ZeroMQ::connect_xpub_endpoint !in lost_places &&
		       Cluster::Backend::ZeroMQ::connect_xsub_endpoint !in lost_places;
@endif

	return T;
	}

function missing_peers(): string_vec
	{
	local missing: string_vec;

	if ( Cluster::node !in Cluster::nodes )
		return missing;

	local own = Cluster::nodes[Cluster::node]$node_type;

	for ( name, other in Cluster::nodes )
		if ( other$node_type in must_be_seen && other$node_type != own && ( name !in peers || ! is_reached(other) ) )
			missing += name;

	sort(missing, strcmp);
	return missing;
	}

global ask_gone: event(name: string, id: string, pause: interval);

function look_at_peers()
	{
	local missing = missing_peers();

	if ( ! joined && |missing| > 0 )
		return;

	if ( joined && join_string_vec(missing, " ") == join_string_vec(missing_before, " ") )
		return;

	joined = T;
	missing_before = missing;
	hook peers_changed();
	}

event Cluster::hello(name: string, id: string)
	{
	if ( name in Cluster::nodes && ( name !in peers || peers[name]$id != id ) )
		peers[name] = Peer($node=name, $id=id, $since=time_to_double(current_time()));

	delete gone[name];
	look_at_peers();
	}

event Cluster::node_down(name: string, id: string)
	{
	if ( name in peers && peers[name]$id == id )
		{
		delete peers[name];
		gone[name] = id;
		schedule return_interval { ask_gone(name, id, return_interval) };
		}
	else if ( name in peers )
		# The node was restarted, and its new process said hello before the end of the old one was reported. In this
		# case Zeek does not raise node_up, without which no pool includes the node.
		event Cluster::node_up(name, peers[name]$id);

	look_at_peers();
	}

# With ZeroMQ, a node whose connection breaks is reported gone. When it has connected again, it still knows the others and
# sends them no hello, so Zeek would never include it again. Therefore we ask it to. If the node is really gone, nobody
# receives the question.
event ask_gone(name: string, id: string, pause: interval)
	{
	if ( name !in gone || gone[name] != id )
		return;

	Cluster::publish(Cluster::nodeid_topic(id), Zeekfleet::hello_wanted, Cluster::node_id());
	local next_pause = 2 * pause < longest_return_interval ? 2 * pause : longest_return_interval;
	schedule next_pause { ask_gone(name, id, next_pause) };
	}

event hello_wanted(id: string)
	{
	Cluster::publish(Cluster::nodeid_topic(id), Cluster::hello, Cluster::node, Cluster::node_id());
	}

@ifdef ( Cluster::Backend::ZeroMQ::monitoring_event )

event Cluster::Backend::ZeroMQ::monitoring_event(number: count, value: count, address: string)
	{
	if ( number == monitor_connected )
		delete lost_places[address];
	else if ( number == monitor_connect_retried || number == monitor_disconnected )
		add lost_places[address];
	else
		return;

	look_at_peers();
	}

@endif
