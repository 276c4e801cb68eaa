##! Holds this node back until its agent lets it begin: it has read its scripts by then,
##! but has not joined the cluster.

module Zeekfleet;

export {
	## A FIFO in the node's directory while the node is to wait. To open it takes until the agent opens the other end.
	const hold_file = ".hold" &redef;
}

event zeek_init() &priority=1000000
	{
	if ( file_size(hold_file) >= 0 )
		close(open(hold_file));
	}
