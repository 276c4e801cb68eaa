##! Reads the value of an option from text, by the option's type. It knows all types of Zeek's own config reader, and
##! also sets with several indices, vectors of vectors, and tables.
##!
##! A script cannot create a container whose type it learns only at run time. But when an option is set, Zeek converts
##! Broker's data to the option's type. So containers are created as Broker's data.

@load base/frameworks/broker
@load ./zeekfleet-values

module Zeekfleet;

export {
	## Whether values of a type can be read from text.
	##
	## kind: the type's name, as type_name gives it.
	global can_read_option: function(kind: string): bool;

	## Read a value from text; can_read_option must be true for its type.
	##
	## kind: the type's name, as type_name gives it.
	##
	## text: the elements of a container are separated by commas; braces around them are optional: ``a, b``;
	##       ``[10.0.0.1, 80/tcp], [10.0.0.2, 81/tcp]``; ``a = 5, b = 6``. Strings in containers may be quoted; strings
	##       with commas, ``=``, quotes, brackets or braces must be.
	global read_option_value: function(kind: string, text: string): OptionValue;
}

## The types of sets that can be elements of a table.
const plain_sets: set[string] = { "set[string]", "set[count]", "set[addr]", "set[subnet]", "set[port]" };

## The positions of a character in a text, outside brackets, braces and quotes.
function places(text: string, wanted: string): vector of count
	{
	local found: vector of count;
	local depth = 0;
	local quoted = F;
	local escaped = F;
	local place = 0;

	for ( c in text )
		{
		if ( quoted )
			{
			if ( c == "\"" && ! escaped )
				quoted = F;

			escaped = c == "\\" && ! escaped;
			}
		else if ( depth == 0 && c == wanted )
			found += place;
		else if ( c == "\"" )
			quoted = T;
		else if ( c == "[" || c == "{" )
			++depth;
		else if ( ( c == "]" || c == "}" ) && depth > 0 )
			--depth;

		++place;
		}

	return found;
	}

## The parts of a text between its commas, without empty ones.
function between_commas(text: string): string_vec
	{
	local found: string_vec;
	local start = 0;

	if ( strip(text) == "" )
		return found;

	local commas = places(text, ",");

	for ( i in commas )
		{
		found += strip(text[start:commas[i]]);
		start = commas[i] + 1;
		}

	found += strip(text[start:]);
	return found;
	}

## The text without the pair of brackets or braces that encloses all of it; the text itself if there is no such pair.
function without_pair(text: string, opening: string, closing: string): string
	{
	local inner = strip(text);

	if ( |inner| < 2 || inner[0] != opening || inner[-1] != closing )
		return inner;

	local depth = 0;
	local pairs = 0;

	for ( c in inner )
		{
		if ( c == opening )
			++depth;
		else if ( c == closing && --depth == 0 )
			++pairs;
		}

	return pairs == 1 ? strip(inner[1:-1]) : inner;
	}

## The text without enclosing quotes, if it has any. Between quotes, a backslash escapes a quote or a backslash.
function without_quotes(text: string): string
	{
	if ( /^\"([^\"\\]|\\.)*\"$/ != text )
		return text;

	local plain = "";
	local escaped = F;

	for ( c in text[1:-1] )
		{
		escaped = c == "\\" && ! escaped;

		if ( ! escaped )
			plain += c;
		}

	return plain;
	}

## The type names of a set's or table's indices.
function index_types(kind: string): string_vec
	{
	return between_commas(gsub(gsub(kind, /^(set|table)\[/, ""), /\].*$/, ""));
	}

## The type name of a vector's or table's elements.
function element_type(kind: string): string
	{
	return sub(kind, /^(vector|table\[[^\[\]]*\]) of /, "");
	}

function are_single(kinds: string_vec): bool
	{
	for ( i in kinds )
		if ( ! is_single(kinds[i]) )
			return F;

	return |kinds| > 0;
	}

function can_read_option(kind: string): bool
	{
	if ( /^set\[[^\[\]]*\]$/ == kind )
		return are_single(index_types(kind));

	if ( /^vector of .*$/ == kind )
		return is_single(gsub(kind, /vector of /, ""));

	if ( /^table\[[^\[\]]*\] of .*$/ == kind )
		{
		local yield = element_type(kind);
		return are_single(index_types(kind)) && ( yield in plain_sets || is_single(gsub(yield, /vector of /, "")) );
		}

	return is_single(kind);
	}

## Read a single value in a container.
function read_element(kind: string, text: string): OptionValue
	{
	return read_single(kind, without_quotes(strip(text)));
	}

## Read an index of a set or table: a single value, or a vector of values if there are several indices.
function read_index(kinds: string_vec, text: string): OptionValue
	{
	if ( |kinds| == 1 )
		return read_element(kinds[0], text);

	local texts = between_commas(without_pair(text, "[", "]"));
	local values: vector of any;

	if ( |texts| != |kinds| )
		return OptionValue();

	for ( i in texts )
		{
		local one = read_element(kinds[i], texts[i]);

		if ( ! one?$value )
			return OptionValue();

		values += one$value;
		}

	return OptionValue($value=values);
	}

function read_set(kinds: string_vec, texts: string_vec): OptionValue
	{
	local made = Broker::set_create();

	for ( i in texts )
		{
		local one = read_index(kinds, texts[i]);

		if ( ! one?$value )
			return OptionValue();

		Broker::set_insert(made, one$value);
		}

	return OptionValue($value=made);
	}

## Read one of the ``plain_sets`` as a set of its own type. A table in Broker's data cannot hold sets of Broker's data.
function read_plain_set(kind: string, texts: string_vec): OptionValue
	{
	local strings: set[string];
	local counts: set[count];
	local addresses: set[addr];
	local subnets: set[subnet];
	local ports: set[port];

	for ( i in texts )
		{
		local one = read_element(kind, texts[i]);

		if ( ! one?$value )
			return OptionValue();

		switch ( kind )
			{
			case "string":
				add strings[one$value as string];
				break;
			case "count":
				add counts[one$value as count];
				break;
			case "addr":
				add addresses[one$value as addr];
				break;
			case "subnet":
				add subnets[one$value as subnet];
				break;
			case "port":
				add ports[one$value as port];
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
		case "subnet":
			return OptionValue($value=subnets);
		}

	return OptionValue($value=ports);
	}

## Read an element of a vector or table. Containers are not converted to Broker's data here.
function read_nested(kind: string, text: string): OptionValue
	{
	if ( kind in plain_sets )
		return read_plain_set(kind[4:-1], between_commas(without_pair(text, "{", "}")));

	if ( /^vector of / !in kind )
		return read_element(kind, text);

	local values: vector of any;
	local texts = between_commas(without_pair(without_pair(text, "{", "}"), "[", "]"));

	for ( i in texts )
		{
		local one = read_nested(element_type(kind), texts[i]);

		if ( ! one?$value )
			return OptionValue();

		values += one$value;
		}

	return OptionValue($value=values);
	}

function read_table(kind: string, texts: string_vec): OptionValue
	{
	local made = Broker::table_create();
	local kinds = index_types(kind);
	local yield = element_type(kind);

	for ( i in texts )
		{
		local signs = places(texts[i], "=");

		if ( |signs| == 0 )
			return OptionValue();

		# A single index may be in brackets, too.
		local before = without_pair(texts[i][0:signs[0]], "[", "]");
		local index = read_index(kinds, before);
		local element = read_nested(yield, strip(texts[i][signs[0] + 1:]));

		if ( ! index?$value || ! element?$value )
			return OptionValue();

		Broker::table_insert(made, index$value, element$value);
		}

	return OptionValue($value=made);
	}

function read_option_value(kind: string, text: string): OptionValue
	{
	if ( kind == "string" )
		return read_single(kind, text);

	if ( /^set\[/ in kind )
		return read_set(index_types(kind), between_commas(without_pair(text, "{", "}")));

	if ( /^table\[/ in kind )
		return read_table(kind, between_commas(without_pair(text, "{", "}")));

	if ( /^vector of / !in kind )
		return read_single(kind, strip(text));

	local values = read_nested(kind, text);
	return values?$value ? OptionValue($value=Broker::data(values$value)) : values;
	}
