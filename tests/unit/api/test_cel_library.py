"""The functions that Kubernetes adds to expressions, and the standard extensions that it names: one row a behaviour."""

from __future__ import annotations

from typing import Any

import pytest

from api import cel
from api.cel import patterns

pytestmark = pytest.mark.unit

ENVIRONMENT = cel.Environment({"any": cel.DYN})
TRUE = [
    # strings
    "'tacocat'.charAt(3) == 'o'", "'hello mellow'.indexOf('ello', 2) == 7", "'hello mellow'.lastIndexOf('ello') == 7",
    "'TacoCät'.lowerAscii() == 'tacocät'", "'TacoCät'.upperAscii() == 'TACOCäT'",
    "'hello hello'.replace('he', 'we', 1) == 'wello hello'", "'a,b,c'.split(',', 2) == ['a', 'b,c']",
    "'tacocat'.substring(1, 4) == 'aco'", "'  x\\n'.trim() == 'x'", "['x', 'y'].join(',') == 'x,y'",
    "'%s is %d and %.2f'.format(['a', 1, 2.5]) == 'a is 1 and 2.50'",
    # lists
    "[1, 2, 3].isSorted() && !['b', 'a'].isSorted() && [].isSorted()", "[1, 3].sum() == 4 && [1.5, 2.0].sum() == 3.5",
    "[].sum() == 0", "[1, 3].min() == 1 && ['b', 'a'].max() == 'b'", "[1, 2, 2].indexOf(2) == 1",
    "[1, 2, 2].lastIndexOf(2) == 2", "['a'].indexOf('c') == -1", "[1, 2, 3, 4].slice(1, 3) == [2, 3]",
    "[3, 1, 2].sort() == [1, 2, 3] && [1, 1, 2].distinct() == [1, 2]", "[[1], [2]].flatten() == [1, 2]",
    # regular expressions
    "'abc 123'.find('[0-9]+') == '123' && 'abc'.find('[0-9]+') == ''", "'abc 123'.matches('[0-9]')",
    "'123 abc 456'.findAll('[0-9]+') == ['123', '456']", "'1 2 3'.findAll('[0-9]', 2) == ['1', '2']",
    "'1'.findAll('[0-9]', 0) == []",
    # addresses of pages
    "url('https://example.com:80/').getScheme() == 'https'", "url('/path').getScheme() == ''",
    "url('https://[::1]:80/').getHost() == '[::1]:80' && url('https://[::1]:80/').getHostname() == '::1'",
    "url('https://example.com/').getPort() == '' && url('https://example.com:8000/').getPort() == '8000'",
    "url('https://example.com/a b/').getEscapedPath() == '/a%20b/' && url('https://a.com').getEscapedPath() == ''",
    "url('https://example.com/a%20b').getEscapedPath() == '/a%20b'",
    "url('https://a.com/?k1=a&k2=b&k2=c').getQuery() == {'k1': ['a'], 'k2': ['b', 'c']}",
    "url('https://a.com/?k+1=a%20b').getQuery() == {'k 1': ['a b']} && url('/path').getQuery() == {}",
    "isURL('https://user:pass@example.com:80/path?query=val#fragment') && isURL('/absolute-path')",
    "!isURL('https://a:b:c/') && !isURL('../relative-path') && !isURL('') && !isURL('a b://x')",
    "url('https://a.com/x') == url('https://a.com/x') && url('https://a.com/x') != url('https://a.com/y')",
    # addresses of machines
    "isIP('127.0.0.1') && isIP('::1') && !isIP('127.0.0.256') && !isIP('127.0.0.1.0') && !isIP('fe80::1%eth0')",
    "!isIP('::ffff:1.2.3.4') && !isIP('01.2.3.4') && !isIP('')",
    "ip('127.0.0.1').family() == 4 && ip('2001:db8::abcd').family() == 6",
    "ip.isCanonical('127.0.0.1') && ip.isCanonical('2001:db8::abcd') && !ip.isCanonical('2001:DB8::ABCD')",
    "ip('2001:db8::abcd') == ip('2001:DB8::ABCD') && string(ip('2001:DB8::ABCD')) == '2001:db8::abcd'",
    "ip('0.0.0.0').isUnspecified() && ip('::').isUnspecified() && !ip('127.0.0.1').isUnspecified()",
    "ip('127.0.0.1').isLoopback() && ip('::1').isLoopback() && !ip('10.0.0.1').isLoopback()",
    "ip('224.0.0.1').isLinkLocalMulticast() && !ip('224.0.1.1').isLinkLocalMulticast()",
    "ip('ff02::1').isLinkLocalMulticast() && !ip('fd00::1').isLinkLocalMulticast()",
    "ip('169.254.169.254').isLinkLocalUnicast() && ip('fe80::1').isLinkLocalUnicast()",
    "!ip('192.168.0.1').isLinkLocalUnicast() && !ip('fd80::1').isLinkLocalUnicast()",
    "ip('192.168.0.1').isGlobalUnicast() && ip('2001:db8::abcd').isGlobalUnicast() && ip('10.0.0.1').isGlobalUnicast()",
    "!ip('255.255.255.255').isGlobalUnicast() && !ip('ff00::1').isGlobalUnicast() && !ip('::').isGlobalUnicast()",
    "!ip('127.0.0.1').isGlobalUnicast() && !ip('169.254.0.1').isGlobalUnicast()",
    # networks
    "isCIDR('192.168.0.0/24') && isCIDR('::1/128') && !isCIDR('192.168.0.0/30/') && !isCIDR('192.168.0.0')",
    "!isCIDR('192.168.0.0/255.255.255.0') && !isCIDR('192.168.0.0/') && !isCIDR('fe80::1%eth0/64')",
    "cidr('192.168.0.0/24').containsIP(ip('192.168.0.1')) && cidr('192.168.0.0/24').containsIP('192.168.0.1')",
    "!cidr('192.168.0.0/24').containsIP('192.168.1.1') && !cidr('192.168.0.0/24').containsIP('::1')",
    "cidr('192.168.0.0/16').containsCIDR(cidr('192.168.10.0/24')) && cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16')",
    "!cidr('192.168.1.0/24').containsCIDR('192.168.0.0/16')", "cidr('192.168.0.1/24').ip() == ip('192.168.0.1')",
    "cidr('192.168.0.1/24').masked() == cidr('192.168.0.0/24') && cidr('192.168.0.0/24').prefixLength() == 24",
    "cidr('192.168.0.1/24') != cidr('192.168.0.0/24') && string(cidr('::1/128')) == '::1/128'",
    "cidr('192.168.0.0/24').ip().family() == 4",
    # quantities
    "isQuantity('1.5Gi') && isQuantity('20') && !isQuantity('1.5GiB') && !isQuantity('Mi')",
    "quantity('50M').isGreaterThan(quantity('50')) && quantity('50').isLessThan(quantity('100'))",
    "quantity('200M').compareTo(quantity('0.2G')) == 0 && quantity('50k') == quantity('50000')",
    "quantity('50k').add(20) == quantity('50020') && quantity('50k').sub(quantity('1')) == quantity('49999')",
    "quantity('50k').isInteger() && !quantity('1.5').isInteger()",
    "quantity('50k').asInteger() == 50000 && quantity('50.703k').asApproximateFloat() == 50703.0",
    "quantity('-1').sign() == -1 && quantity('0').sign() == 0 && quantity('1Gi').sign() == 1",
    # forms of names
    "!format.dns1123Label().validate('my-label').hasValue() && format.dns1123Label().validate('A').hasValue()",
    "!format.dns1123Subdomain().validate('a.b').hasValue() && format.dns1035Label().validate('1').hasValue()",
    "format.named('dns1123Label').value().validate('a_b').value()[0].startsWith('a lowercase RFC 1123 label must')",
    "!format.named('nothing').hasValue() && format.named('uuid').hasValue()",
    "!format.uuid().validate('123e4567-e89b-12d3-a456-426614174000').hasValue()",
    "format.uuid().validate('x').value() == ['does not match the UUID format']",
    "!format.uri().validate('https://a.com').hasValue() && format.uri().validate('x y').hasValue()",
    "!format.byte().validate('aGk=').hasValue() && format.byte().validate('-').hasValue()",
    "!format.date().validate('2024-01-31').hasValue() && format.date().validate('2024-02-31').hasValue()",
    "!format.datetime().validate('2024-01-31T00:00:00.000Z').hasValue() && format.datetime().validate('x').hasValue()",
    "!format.qualifiedName().validate('a.com/b').hasValue() && format.labelValue().validate('-').hasValue()",
    "!format.dns1123LabelPrefix().validate('my-').hasValue() && format.dns1035LabelPrefix().validate('1-').hasValue()",
    "format.dns1123Label().validate('a').orValue(['fine']) == ['fine']",
    "format.named('nothing').or(format.named('uuid')).hasValue()",
    "format.named('no').orValue(format.uuid()).validate('x').orValue([]).size() == 1 && 'a.validate(b)'.size() == 13",
    "!format.dns1123SubdomainPrefix().validate('a.b-').hasValue()",
    "format.dns1123Label().validate('A').optMap(told, told.size()).orValue(0) == 1",
    # versions, sets, optional values, comprehensions
    "semver('1.2.3').isLessThan(semver('1.10.0')) && isSemver('v1.0', true) && !isSemver('v1.0')",
    "sets.contains([1, 2], [2]) && sets.equivalent([1, 1], [1]) && sets.intersects([1], [1, 2])",
    "optional.of(1).hasValue() && optional.none().orValue(2) == 2 && {'a': 1}[?'a'].value() == 1",
    "[1, 2].all(i, v, i < v) && {'a': 1}.exists(k, v, k == 'a' && v == 1)",
    "math.greatest(1, 2) == 2 && math.least([3, 1]) == 1 && math.abs(-1) == 1",
    "base64.encode(b'hi') == 'aGk=' && base64.decode('aGk=') == b'hi'", "cel.bind(x, 'a', x + x) == 'aa'",
]  # fmt: skip
ERRORS = {
    "url('../relative')": 'URL parse error during conversion from string: parse "../relative": invalid URI for request',
    "ip('::ffff:1.2.3.4')": "IPv4-mapped IPv6 address",
    "ip('fe80::1%en0')": "with zone value is not allowed",
    "cidr('192.168.0.0')": "CIDR address parse error",
    "[].min()": "min called on empty list",
    "quantity('1.5').asInteger()": "cannot convert value to integer",
    "format.named('nothing').value()": "optional.none() dereference",
    "string({'a': 1})": "no such overload",
    "ip.isCanonical('x')": "",
}


@pytest.mark.parametrize("text", TRUE)
def test_a_function_does_what_it_is_told_to(text: str) -> None:
    assert ENVIRONMENT.compile(text).evaluate({"any": None}) is True


@pytest.mark.parametrize(("text", "sentence"), ERRORS.items())
def test_what_cannot_be_read_is_an_error(text: str, sentence: str) -> None:
    with pytest.raises(cel.CelError) as caught:
        ENVIRONMENT.compile(text).evaluate({"any": None})
    assert sentence in str(caught.value)


@pytest.mark.timeout(10)
def test_no_pattern_takes_long_over_any_text() -> None:
    text = "a" * 10_000 + "!"
    assert ENVIRONMENT.compile("any.find('^(a+)+$') == ''").evaluate({"any": text}) is True
    assert not patterns.matches("^(a|a)*$", text)
    assert patterns.find_all("a", "\x01" + "\x02" * 500_000) == []


@pytest.mark.parametrize(
    ("pattern", "text", "wanted"),
    [("x*", "ab", ["", "", ""]), ("(b)+", "abb b", ["bb", "b"]), ("b", "a\0b\0b", ["b", "b"]),
     ("\0", "a\0", ["\0"]), (r"\\", "a\\b", ["\\"]), ("a", "\x01a\x02", ["a"])],
)  # fmt: skip
def test_what_a_pattern_finds(pattern: str, text: str, wanted: list[str]) -> None:
    assert patterns.find_all(pattern, text) == wanted
    assert patterns.find_all(pattern, text, 1) == wanted[:1]


@pytest.mark.parametrize("pattern", ["((", "(?=a)", "a{2000}"])
def test_what_is_no_pattern(pattern: str) -> None:
    with pytest.raises(patterns.BadPattern):
        patterns.check(pattern)


def test_an_evaluation_that_costs_too_much_ends() -> None:
    program = ENVIRONMENT.compile("any.all(one, one.findAll('[a-z]+x').size() == 0)")
    assert program.evaluate({"any": ["a" * 1000] * 100}) is True
    with pytest.raises(cel.CelError, match=cel.OUT_OF_BUDGET):
        program.evaluate({"any": ["a" * 100_000] * 100})


def again_and_again(step: str, last: str) -> str:
    """An expression that takes `any`, then fifteen times what the step makes of that."""
    text = last.replace("{}", "v15")
    for number in range(15, 0, -1):
        text = f"cel.bind(v{number}, {step.replace('{}', f'v{number - 1}')}, {text})"
    return f"cel.bind(v0, any, {text})"


DEAR: list[tuple[str, Any]] = [
    ("any.all(one, sets.contains(any, any))", list(range(2000))),
    ("sets.intersects(any, any)", list(range(10_000))),
    ("any.all(one, any == any)", list(range(9000))),
    ("any.all(one, (one + one + one).size() > 0)", ["a" * 1_000_000] * 100),
    ("any.replace('a', 'bbbbbbbbbbbbbbbb').replace('b', 'cccccccccccccccc').size() > 0", "a" * 1_000_000),
    ("lists.range(any).size() > 0", 1 << 31),
    ("lists.range(any * any).size() > 0", 9000),
    ("lists.range(math.greatest(1, any)).size() > 0", 1 << 31),
    ("lists.range(any > 0 ? 2147483648 : 1).size() > 0", 1),
    ("cel.bind(a, any + any, cel.bind(b, a + a + a + a, b + b + b + b)).map(x, any + any).size() > 0", ["a"] * 9000),
    ("cel.bind(a, [any, any].join(any), [a, a, a].join(a)).contains(any)", "a" * 100_000),
    ("'%s%s%s'.format([any, any, any]).contains(any)", "a" * 300_000),
    ("any.split('z').all(x, x.contains(x.substring(1) + 'b'))", "a" * 600_000),
    ("{'a': any}.a.contains({'a': any}.a + 'b')", "a" * 600_000),
    ("any.map(x, x + x).all(y, y.contains(y.substring(1) + 'b') || true)", ["a" * 400_000]),
    ("any.flatten().all(x, any.flatten().all(y, x == y || true))", [list(range(5000))]),
    ("any.map(x, any).size() > 0", list(range(9000))),
    (again_and_again("{} + {}", "{} != []"), list(range(1000))),
    (again_and_again("{} * {} * {} * {}", "lists.range({}).size() > 0"), 9000),
    ("any.all(one, one in any)", [{"a": number, "b": [1, 2, 3] * 30} for number in range(2500)]),
    ("sets.equivalent(any, any)", [{"a": number, "b": [1, 2, 3] * 30} for number in range(2500)]),
    ("any.distinct().size() > 0", [{"a": number} for number in range(20_000)]),
    ("any.indexOf(any.substring(1) + 'b') > 0", "a" * 600_000),
    ("any.all(k, v, k.contains(k.substring(1) + 'b') || true)", {"a" * 600_000: 1}),
    ("cel.bind(held, [any], held[0]).contains(any.substring(1) + 'b')", "a" * 600_000),
]


@pytest.mark.parametrize(("text", "value"), DEAR)
@pytest.mark.timeout(20)
def test_what_the_evaluator_could_not_be_stopped_in_does_not_begin(text: str, value: Any) -> None:
    with pytest.raises(cel.CelError, match=cel.OUT_OF_BUDGET):
        ENVIRONMENT.compile(text).evaluate({"any": value})


@pytest.mark.parametrize(
    ("text", "value"),
    [("any.all(one, one in any)", list(range(1000))),
     ("lists.range(any.size() - 1).all(i, any[i] <= any[i + 1])", [1] * 900),
     ("any.all(k, v, v.matches('^[a-z]+$') && k.size() < 9)", {f"k{n}": "a" * 20_000 for n in range(50)}),
     ("any == any && any.map(one, one.name).distinct().size() == 300", [{"name": f"{n}"} for n in range(300)])],
)  # fmt: skip
def test_what_is_merely_large_is_evaluated(text: str, value: Any) -> None:
    assert ENVIRONMENT.compile(text).evaluate({"any": value}) is True


PODS = [
    {"name": f"c{number}", "image": f"registry.k8s.io/app-{number}:v1", "args": [f"--flag-{n}" for n in range(20)]}
    for number in range(10)
]


@pytest.mark.parametrize(
    "text",
    ["any.all(c, ['^docker.io/.*', '^registry.k8s.io/.*', '^ghcr.io/.*'].exists(p, c.image.matches(p)))",
     "any.all(c, c.args.all(a, ['--privileged', '--root', '--insecure'].all(bad, !a.contains(bad))))",
     "any.map(c, c.args.map(a, c.name + '=' + a)).all(l, l.all(x, x.contains('=')))",
     "any.map(c, {'name': c.name, 'image': c.image}).all(m, [m.name, 'app'].exists(x, m.image.contains(x)))",
     "any.map(c, c.?args.orValue([])).flatten().map(a, '^' + a).all(p, any.exists(c, c.args.exists(a, a.matches(p))))",
     "any.all(c, (has(c.args) ? c.args : []).all(a, a.split('-').all(w, w.size() < 9 && !w.contains('x'))))"],
)  # fmt: skip
def test_what_policies_ask_of_a_pod_is_evaluated(text: str) -> None:
    assert ENVIRONMENT.compile(text).evaluate({"any": PODS}) is True


def test_values_that_are_too_deep_fail_in_words() -> None:
    deep: list[Any] = []
    for _ in range(3000):
        deep = [deep]
    with pytest.raises(cel.CelError):
        ENVIRONMENT.compile("any == any").evaluate({"any": deep})


@pytest.mark.parametrize(
    "text",
    ["any.size() == 4", "any == 'a\\u0000bc'", "any.contains('\\x00b') && !any.contains('\\\\000')", "any != 'a'",
     "any.replace('\\000', '') == 'abc'", "any.find('b') == 'b'", "any.split('\\U00000000') == ['a', 'bc']",
     "{any: 1}['a\\u0000bc'] == 1", "b'\\x00'.size() == 1", "r'\\u0000'.size() == 6", "any + any == 'a\0bca\0bc'"],
)  # fmt: skip
def test_a_text_does_not_end_at_a_zero(text: str) -> None:
    assert ENVIRONMENT.compile(text).evaluate({"any": "a\0bc"}) is True


def test_what_comes_of_a_text_keeps_its_zeros() -> None:
    assert ENVIRONMENT.compile("{'x': [any]}").evaluate({"any": "a\0bc"}) == {"x": ["a\0bc"]}


@pytest.mark.parametrize(("value", "wanted"), [({"ip": "1.2.3.4"}, "1.2.3.4"), (1, "1"), ("x", "x")])
def test_texts_of_values_whose_type_is_not_known(value: Any, wanted: str) -> None:
    assert ENVIRONMENT.compile("string(any)").evaluate({"any": value}) == wanted
    for other in ([1], {"a": 1}):
        with pytest.raises(cel.CelError):
            ENVIRONMENT.compile("string(any)").evaluate({"any": other})
