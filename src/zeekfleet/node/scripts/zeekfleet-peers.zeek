##! Whether this node is connected to those that it must be: all managers, loggers and proxies, but for those of
##! its own kind. With each back end the others say Cluster::hello, and Cluster::node_down tells that one is gone. With
##! ZeroMQ there is more to it: all events go through the manager's hub, and logs to the loggers by connections of their
##! own. Whether these stand, the back end's monitor tells.

@load base/frameworks/cluster
@load base/utils/addrs

module Zeekfleet;

export {
	## Another node of the cluster, as this one sees it.
	type Peer: record {
		node: string;
		id: string;
		## Since when it is up, seconds since the epoch.
		since: double;
	};

	## Who is connected, by name.
	global peers: table[string] of Peer;

	## A node tells which nodes it must be connected to and is not, sorted by name.
	global notify_peers: event(node: string, missing: string_vec);

	## The nodes that this one must be connected to and is not, sorted by name.
	global missing_peers: function(): string_vec;

	## Called when that has changed.
	global peers_changed: hook();

	## The node with this id asks to be told hello.
	global hello_wanted: event(id: string);

	## After this time, a node that is told to be gone is asked to say hello, in case it is not; then after twice that time,
	## and so on.
	const return_interval = 1 sec &redef;

	## The longest of these times.
	const longest_return_interval = 1 min &redef;
}

const must_be_seen = set(Cluster::LOGGER, Cluster::MANAGER, Cluster::PROXY);

## Whether this node has been connected to all that it must be. Until then its hellos tell who is missing.
global joined = F;

global missing_before: string_vec;

## The ids of nodes that are told to be gone, by name.
global gone: table[string] of string;

## Where nothing can be sent to now, such as tcp://127.0.0.1:2201.
global lost_places: set[string];

@ifdef ( Cluster::Backend::ZeroMQ::monitoring_event )

# From zmq.h.
const monitor_connected = 0x0001;
const monitor_connect_retried = 0x0004;
const monitor_disconnected = 0x0200;

@endif

## Whether this node's connections to another one stand, as far as the monitor tells.
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
		# Its predecessor is told to be gone after it said hello. Zeek has not told that it is up, then, and without
		# that no pool counts it in.
		event Cluster::node_up(name, peers[name]$id);

	look_at_peers();
	}

# With ZeroMQ, a node whose connection breaks is told to be gone. Once it has connected again, it still knows the others, and
# so says hello to nobody: Zeek would keep them apart for ever. If the node is gone indeed, nothing is sent.
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
