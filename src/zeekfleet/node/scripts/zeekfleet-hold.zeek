##! The start barrier: makes this node wait until its agent releases it. The node has read its scripts by then, but has
##! not joined the cluster.

module Zeekfleet;

export {
	## A FIFO in the node's directory, if the node has to wait. Opening it blocks until the agent opens the other end.
	const hold_file = ".hold" &redef;
}

event zeek_init() &priority=1000000
	{
	if ( file_size(hold_file) >= 0 )
		close(open(hold_file));
	}
