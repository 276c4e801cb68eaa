##! A mailbox: a directory of files by which an agent and this node exchange requests and answers, if the node cannot
##! accept WebSocket clients, or may not be reached through the node that the agent is connected to.
##!
##! The agent writes its open requests to ``requests``, one JSON object on each line, and replaces the whole file when
##! they change. The node writes each answer and each hello to a new file.

@load base/frameworks/input
@load ./zeekfleet-dispatch
@load ./zeekfleet-peers

module Zeekfleet;

export {
	## The directory, or "" for a node without a mailbox.
	const mailbox = getenv("ZEEKFLEET_MAILBOX") &redef;

	type MailedRequest: record {
		reqid: string;
		action: vector of string;
	};

	type MailedLine: record {
		text: string;
	};

	global mail_arrived: event(description: Input::EventDescription, kind: Input::Event, text: string);

	## Write a JSON text to a new file, for the agent.
	global mail: function(text: string);

	## Tell the agent which nodes this one should be connected to and is not. Does nothing without a mailbox.
	global mail_peers: function(missing: string_vec);
}

# The interval at which Zeek's input readers look whether a file has changed.
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
	# Write a temporary file and rename it, so that the agent never reads half an answer.
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

	# An open request is read again at every change of the file.
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
	# Before the hello, so that the agent knows the missing peers when it reads the hello.
	mail_peers(missing_peers());
	mail(to_json(MailedHello($hello=Cluster::node)));
	}
