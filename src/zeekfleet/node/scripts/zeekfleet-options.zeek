##! Reads the value of an option from text, by the option's type.

module Zeekfleet;

export {
	## What came of reading a text.
	type OptionValue: record {
		## Left out if the text is no such value.
		value: any &optional;
	};

	## Read a text as a value of a type.
	##
	## kind: the type's name, as type_name gives it.
	##
	## text: such as ``T``, ``5 min``, ``80/tcp``; sets and vectors have their elements between commas.
	global read_option_value: function(kind: string, text: string): OptionValue;
}

const interval_units: table[string] of interval = {
	["day"] = 1 day, ["hr"] = 1 hr, ["min"] = 1 min, ["sec"] = 1 sec, ["msec"] = 1 msec, ["usec"] = 1 usec,
};

function read_interval(text: string): OptionValue
	{
	if ( /^-?[0-9]+(\.[0-9]*)? *(day|hr|min|sec|msec|usec)s?$/ != text )
		return OptionValue();

	local number = gsub(text, /[a-z ]/, "");
	local unit = sub(gsub(text, /[-0-9. ]/, ""), /s$/, "");
	return OptionValue($value=to_double(number) * interval_units[unit]);
	}

function read_address(text: string): OptionValue
	{
	local bare = gsub(text, /[\[\]]/, "");
	return is_valid_ip(bare) ? OptionValue($value=to_addr(bare)) : OptionValue();
	}

function read_subnet(text: string): OptionValue
	{
	local parts = split_string1(gsub(text, /[\[\]]/, ""), /\//);

	if ( |parts| != 2 || ! is_valid_ip(parts[0]) || /^[0-9]{1,3}$/ != parts[1] )
		return OptionValue();

	local width = to_count(parts[1]);

	if ( width > (is_v4_addr(to_addr(parts[0])) ? 32 : 128) )
		return OptionValue();

	return OptionValue($value=to_subnet(fmt("%s/%d", parts[0], width)));
	}

function read_enum(kind: string, text: string): OptionValue
	{
	if ( /^[A-Za-z_][A-Za-z0-9_]*(::[A-Za-z_][A-Za-z0-9_]*)*$/ != text )
		return OptionValue();

	local found = lookup_ID(text);
	return type_name(found) == kind ? OptionValue($value=found) : OptionValue();
	}

function read_scalar(kind: string, text: string): OptionValue
	{
	switch ( kind )
		{
		case "string":
			return OptionValue($value=text);
		case "bool":
			return /^[TF]$/ == text ? OptionValue($value=(text == "T")) : OptionValue();
		case "count":
			return /^[0-9]{1,19}$/ == text ? OptionValue($value=to_count(text)) : OptionValue();
		case "int":
			return /^[-+]?[0-9]{1,18}$/ == text ? OptionValue($value=to_int(text)) : OptionValue();
		case "double":
			return /^[-+]?[0-9]+(\.[0-9]*)?([eE][-+]?[0-9]{1,2})?$/ == text
			    ? OptionValue($value=to_double(text)) : OptionValue();
		case "port":
			return /^[0-9]{1,5}\/(tcp|udp|icmp)$/ == text && to_count(split_string1(text, /\//)[0]) <= 65535
			    ? OptionValue($value=to_port(text)) : OptionValue();
		case "interval":
			return read_interval(text);
		case "addr":
			return read_address(text);
		case "subnet":
			return read_subnet(text);
		}

	# No other type that is a single word has a scope in its name.
	return /^[A-Za-z0-9_]+::[A-Za-z0-9_:]+$/ == kind ? read_enum(kind, text) : OptionValue();
	}

## The elements of a set or vector: what stands between the commas, within braces or brackets if they are there.
function elements(text: string): string_vec
	{
	local inner = strip(text);

	if ( /^\{.*\}$/ == inner )
		inner = strip(inner[1:-1]);

	local found: string_vec;

	if ( inner == "" )
		return found;

	local parts = split_string(inner, /,/);

	for ( i in parts )
		found += strip(parts[i]);

	return found;
	}

function read_set(kind: string, values: vector of any): OptionValue
	{
	local strings: set[string];
	local counts: set[count];
	local ints: set[int];
	local addresses: set[addr];
	local subnets: set[subnet];
	local ports: set[port];

	for ( i in values )
		{
		switch ( kind )
			{
			case "string":
				add strings[values[i] as string];
				break;
			case "count":
				add counts[values[i] as count];
				break;
			case "int":
				add ints[values[i] as int];
				break;
			case "addr":
				add addresses[values[i] as addr];
				break;
			case "subnet":
				add subnets[values[i] as subnet];
				break;
			case "port":
				add ports[values[i] as port];
				break;
			}
		}

	switch ( kind )
		{
		case "string":
			return OptionValue($value=strings);
		case "count":
			return OptionValue($value=counts);
		case "int":
			return OptionValue($value=ints);
		case "addr":
			return OptionValue($value=addresses);
		case "subnet":
			return OptionValue($value=subnets);
		case "port":
			return OptionValue($value=ports);
		}

	return OptionValue();
	}

function read_vector(kind: string, values: vector of any): OptionValue
	{
	local strings: vector of string;
	local counts: vector of count;
	local addresses: vector of addr;

	for ( i in values )
		{
		switch ( kind )
			{
			case "string":
				strings += values[i] as string;
				break;
			case "count":
				counts += values[i] as count;
				break;
			case "addr":
				addresses += values[i] as addr;
				break;
			}
		}

	switch ( kind )
		{
		case "string":
			return OptionValue($value=strings);
		case "count":
			return OptionValue($value=counts);
		case "addr":
			return OptionValue($value=addresses);
		}

	return OptionValue();
	}

function read_option_value(kind: string, text: string): OptionValue
	{
	local is_set = /^set\[[a-z]+\]$/ == kind;

	if ( ! is_set && /^vector of [a-z]+$/ != kind )
		return read_scalar(kind, kind == "string" ? text : strip(text));

	local inner = is_set ? kind[4:-1] : kind[10:];
	local texts = elements(text);
	local values: vector of any;

	for ( i in texts )
		{
		local one = read_scalar(inner, texts[i]);

		if ( ! one?$value )
			return OptionValue();

		values += one$value;
		}

	return is_set ? read_set(inner, values) : read_vector(inner, values);
	}
