##! The actions that an agent can have this node run.

@load base/frameworks/cluster
@load base/frameworks/config
@load ./zeekfleet-options
@load ./zeekfleet-peers

module Zeekfleet;

export {
	## The same as Management::Result, which is not loaded here.
	type Result: record {
		reqid: string;
		success: bool &default=T;
		instance: string &optional;
		data: any &optional;
		error: string &optional;
		node: string &optional;
	};

	## The result of ``net_stats``: packets and bytes since the node started.
	type NetworkStatistics: record {
		received: count;
		dropped: count;
		link: count;
		bytes: count;
		filtered: count &optional;
	};

	## The result of ``peer_stats``: the connected nodes, sorted by name, and this node's numbers of events.
	type PeerStatistics: record {
		peers: vector of Peer;
		events_queued: count;
		events_dispatched: count;
	};

	## The result of ``missing_peers``: the nodes that this one should be connected to and is not.
	type MissingPeers: record {
		missing: string_vec;
	};

	## The result of ``set_option``: the value before and after the change, as JSON text.
	type OptionChange: record {
		name: string;
		before: string;
		now: string;
	};

	## Run the action of a request. A repeated request with the same id gets the first result.
	global outcome: function(reqid: string, action: vector of string): Result;
}

# Results by request id. Agents repeat a request until it is answered, and some nodes receive each request twice.
global outcomes: table[string] of Result &create_expire=1 min;

function get_id_value(result: Result, action: vector of string)
	{
	if ( |action| < 2 )
		{
		result$error = "get_id_value expects name of global identifier";
		return;
		}

	local found = lookup_ID(action[1]);

	if ( type_name(found) == "string" )
		{
		local text: string = found;

		# lookup_ID returns these two texts in place of a value.
		if ( text == "<unknown id>" )
			result$error = "unknown id";
		else if ( text == "<no ID value>" )
			result$error = "no ID value";
		}

	if ( ! result?$error )
		result$data = to_json(found);
	}

function net_stats(result: Result)
	{
	local found = get_net_stats();
	local data = NetworkStatistics($received=found$pkts_recvd, $dropped=found$pkts_dropped, $link=found$pkts_link,
	                               $bytes=found$bytes_recvd);

	if ( found?$pkts_filtered )
		data$filtered = found$pkts_filtered;

	result$data = data;
	}

function peer_stats(result: Result)
	{
	local names: string_vec;
	local sorted: vector of Peer;

	for ( name in peers )
		names += name;

	sort(names, strcmp);

	for ( i in names )
		sorted += peers[names[i]];

	local events = get_event_stats();
	result$data = PeerStatistics($peers=sorted, $events_queued=events$queued, $events_dispatched=events$dispatched);
	}

function set_option(result: Result, action: vector of string)
	{
	if ( |action| < 3 )
		{
		result$error = "set_option expects name and value of an option";
		return;
		}

	local name = action[1];

	if ( name !in global_options() )
		{
		result$error = "unknown option";
		return;
		}

	local present = lookup_ID(name);
	local kind = type_name(present);

	if ( ! can_read_option(kind) )
		{
		result$error = fmt("options of type %s cannot be set from text", kind);
		return;
		}

	local read = read_option_value(kind, action[2]);

	if ( ! read?$value )
		{
		result$error = fmt("'%s' is no value of type %s", action[2], kind);
		return;
		}

	local before = to_json(present);
	# With Config::set_value the manager also sets the option in nodes that join later.
	local for_all = |action| > 3 && action[3] == "cluster" && Cluster::local_node_type() == Cluster::MANAGER;
	local done = for_all ? Config::set_value(name, read$value, "zeekfleet") : Option::set(name, read$value, "zeekfleet");

	if ( done )
		result$data = OptionChange($name=name, $before=before, $now=to_json(lookup_ID(name)));
	else
		result$error = "the option was not changed";
	}

function outcome(reqid: string, action: vector of string): Result
	{
	if ( reqid in outcomes )
		return outcomes[reqid];

	local result = Result($reqid=reqid, $node=Cluster::node);

	if ( |action| == 0 )
		result$error = "no dispatch arguments provided";
	else if ( action[0] == "get_id_value" )
		get_id_value(result, action);
	else if ( action[0] == "net_stats" )
		net_stats(result);
	else if ( action[0] == "peer_stats" )
		peer_stats(result);
	else if ( action[0] == "missing_peers" )
		result$data = MissingPeers($missing=missing_peers());
	else if ( action[0] == "set_option" )
		set_option(result, action);
	else
		result$error = fmt("dispatch %s unknown", action[0]);

	result$success = ! result?$error;
	outcomes[reqid] = result;
	return result;
	}
