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
}

const must_be_seen = set(Cluster::LOGGER, Cluster::MANAGER, Cluster::PROXY);

## Whether this node has been connected to all that it must be. Until then its hellos tell who is missing.
global joined = F;

global missing_before: string_vec;

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

	look_at_peers();
	}

event Cluster::node_down(name: string, id: string)
	{
	if ( name in peers && peers[name]$id == id )
		delete peers[name];
	else if ( name in peers )
		# Its predecessor is told to be gone after it said hello. Zeek has not told that it is up, then, and without
		# that no pool counts it in.
		event Cluster::node_up(name, peers[name]$id);

	look_at_peers();
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
