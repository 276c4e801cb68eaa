##! Reads single values from text, by the names of their types.

module Zeekfleet;

export {
	## The result of reading a text.
	type OptionValue: record {
		## The value; unset if the text is not a value of the type. Sets, vectors and tables have the type Broker::Data.
		value: any &optional;
	};

	## Whether a type is a simple type or an enum.
	global is_single: function(kind: string): bool;

	## Read a single value.
	##
	## kind: the type's name, as type_name returns it.
	##
	## text: the value, such as ``T``, ``5 min``, ``80/tcp`` or ``/ab+/i``.
	global read_single: function(kind: string, text: string): OptionValue;
}

const simple_types: set[string] = {
	"string", "bool", "count", "int", "double", "port", "interval", "time", "addr", "subnet", "pattern",
};

const interval_units: table[string] of interval = {
	["day"] = 1 day, ["hr"] = 1 hr, ["min"] = 1 min, ["sec"] = 1 sec, ["msec"] = 1 msec, ["usec"] = 1 usec,
	[""] = 1 sec,
};

const largest_count = "18446744073709551615";

const number = /^[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]{1,2})?$/;

## A text that no user would enter.
const probe = "\x01\x02\x01";

function read_count(text: string): OptionValue
	{
	if ( /^[0-9]{1,20}$/ != text || ( |text| == 20 && strcmp(text, largest_count) > 0 ) )
		return OptionValue();

	return OptionValue($value=to_count(text));
	}

function read_interval(text: string): OptionValue
	{
	if ( number == text )
		return OptionValue($value=double_to_interval(to_double(text)));

	if ( /^-?[0-9]+(\.[0-9]*)? *(day|hr|min|sec|msec|usec)s?$/ != text )
		return OptionValue();

	local unit = sub(gsub(text, /[-0-9. ]/, ""), /s$/, "");
	return OptionValue($value=to_double(gsub(text, /[a-z ]/, "")) * interval_units[unit]);
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

function read_port(text: string): OptionValue
	{
	if ( /^[0-9]{1,5}\/(tcp|udp|icmp|unknown)$/ != text || to_count(split_string1(text, /\//)[0]) > 65535 )
		return OptionValue();

	return OptionValue($value=to_port(text));
	}

function read_pattern(text: string): OptionValue
	{
	if ( /^\/.+\/(i|s|is|si)?$/ != text )
		return OptionValue();

	local flags = gsub(text, /^\/.*\//, "");
	local expression = sub(sub(text, /^\//, ""), /\/[is]*$/, "");

	# Zeek returns a pattern even if the expression is invalid. That pattern matches only the empty string, so test it.
	if ( string_to_pattern(string_cat(expression, "|", probe), F) != probe )
		return OptionValue();

	for ( flag in flags )
		expression = fmt("(?%s:%s)", flag, expression);

	return OptionValue($value=string_to_pattern(expression, F));
	}

function read_enum(kind: string, text: string): OptionValue
	{
	if ( text !in enum_names(kind) )
		return OptionValue();

	return OptionValue($value=lookup_ID(text));
	}

function is_single(kind: string): bool
	{
	return kind in simple_types || |enum_names(kind)| > 0;
	}

function read_single(kind: string, text: string): OptionValue
	{
	switch ( kind )
		{
		case "string":
			return OptionValue($value=text);
		case "bool":
			return /^[TF10]$/ == text ? OptionValue($value=(text == "T" || text == "1")) : OptionValue();
		case "count":
			return read_count(text);
		case "int":
			return /^[-+]?[0-9]{1,18}$/ == text ? OptionValue($value=to_int(text)) : OptionValue();
		case "double":
			return number == text ? OptionValue($value=to_double(text)) : OptionValue();
		case "time":
			return number == text ? OptionValue($value=double_to_time(to_double(text))) : OptionValue();
		case "interval":
			return read_interval(text);
		case "port":
			return read_port(text);
		case "addr":
			return read_address(text);
		case "subnet":
			return read_subnet(text);
		case "pattern":
			return read_pattern(text);
		}

	return read_enum(kind, text);
	}
