##! The agent's way to a node that takes no WebSocket client, or may be out of reach of
##! the one that the agent is connected to: files in a directory of its own.
##!
##! The agent keeps what it wants in ``requests``, one JSON object a line, and replaces the whole
##! file when that changes. The node puts each answer and each hello in a new file.

@load base/frameworks/input
@load ./zeekfleet-dispatch
@load ./zeekfleet-peers

module Zeekfleet;

export {
	## The directory, or "" for a node that has none.
	const mailbox = getenv("ZEEKFLEET_MAILBOX") &redef;

	type MailedRequest: record {
		reqid: string;
		action: vector of string;
	};

	type MailedLine: record {
		text: string;
	};

	global mail_arrived: event(description: Input::EventDescription, kind: Input::Event, text: string);

	## Put a JSON text where the agent finds it.
	global mail: function(text: string);

	## Tell the agent which nodes this one must be connected to and is not; for a node without a mailbox, do nothing.
	global mail_peers: function(missing: string_vec);
}

# Readers look for a changed file once in this time.
@if ( getenv("ZEEKFLEET_MAILBOX") != "" )
redef Threading::heartbeat_interval = 200 msec;
@endif

type MailedResult: record {
	action: string;
	result: Result;
};

type MailedHello: record {
	hello: string;
};

type MailedPeers: record {
	missing: string_vec;
};

global mail_number = 0;
global mail_answered: set[string] &create_expire=10 min;

function mail(text: string)
	{
	local name = fmt("%s/%d-%d", mailbox, getpid(), ++mail_number);
	# Not print_raw: whole and at once, or not at all.
	local out = open(fmt("%s.new", name));
	write_file(out, text);
	close(out);
	rename(fmt("%s.new", name), fmt("%s.json", name));
	}

function mail_peers(missing: string_vec)
	{
	if ( mailbox != "" )
		mail(to_json(MailedPeers($missing=missing)));
	}

event mail_arrived(description: Input::EventDescription, kind: Input::Event, text: string)
	{
	local read = from_json(text, MailedRequest);

	if ( ! read$valid )
		return;

	local request: MailedRequest = read$v;

	# The same request comes with every change of the file as long as it is open.
	if ( request$reqid in mail_answered )
		return;

	add mail_answered[request$reqid];
	mail(to_json(MailedResult($action=|request$action| > 0 ? request$action[0] : "",
	                          $result=outcome(request$reqid, request$action))));
	}

event zeek_init() &priority=-10
	{
	if ( mailbox == "" || Cluster::node == "" || getenv("ZEEKCTL_CHECK_CONFIG") != "" )
		return;

	Input::add_event([$source=mailbox + "/requests", $reader=Input::READER_RAW, $mode=Input::REREAD,
	                  $name="zeekfleet-mailbox", $fields=MailedLine, $ev=mail_arrived, $want_record=F]);
	# First, so that whoever reads the hello knows.
	mail_peers(missing_peers());
	mail(to_json(MailedHello($hello=Cluster::node)));
	}
