package patchwright.library.freeze_windows_test

import data.patchwright.library.fixture_test as fixture
import data.patchwright.library.freeze_windows

found(document, windows) := denied if {
	denied := freeze_windows.deny with input as document with data.patchwright.parameters as {"freezeWindows": windows}
}

ends(now, window) := {violation.details.until | some violation in found(fixture.but({"now": now}), [window])}

# Christmas, in fixed dates.
christmas := {
	"name": "christmas",
	"reason": "nobody is here",
	"start": "2026-12-24T00:00:00+01:00",
	"end": "2027-01-02T00:00:00+01:00",
}

# Friday evening to Saturday morning, in Berlin (UTC+1 in December).
nights := {"name": "nights", "weekdays": ["Fri"], "from": "22:00", "to": "06:00", "timeZone": "Europe/Berlin"}

sundays := {"name": "sundays", "weekdays": ["Sun"], "from": "00:00", "to": "24:00"}

test_no_window_refuses_nothing if count(found(fixture.base, [])) == 0

test_a_fixed_window_holds_from_its_start_until_just_before_its_end if {
	ends("2026-12-23T22:59:59Z", christmas) == set()
	ends("2026-12-23T23:00:00Z", christmas) == {"2027-01-02T00:00:00+01:00"}
	ends("2027-01-01T22:59:59Z", christmas) == {"2027-01-02T00:00:00+01:00"}
	ends("2027-01-01T23:00:00Z", christmas) == set()
}

test_a_window_past_midnight_belongs_to_the_day_it_began if {
	ends("2026-12-04T20:59:59Z", nights) == set()
	ends("2026-12-04T21:00:00Z", nights) == {"2026-12-05T05:00:00Z"}
	ends("2026-12-05T04:59:59Z", nights) == {"2026-12-05T05:00:00Z"}
	ends("2026-12-05T05:00:00Z", nights) == set()
	ends("2026-12-04T04:00:00Z", nights) == set()
	ends("2026-12-05T21:30:00Z", nights) == set()
}

test_a_whole_day_ends_at_midnight if {
	ends("2026-12-05T23:59:59Z", sundays) == set()
	ends("2026-12-06T12:34:56Z", sundays) == {"2026-12-07T00:00:00Z"}
	ends("2026-12-07T00:00:00Z", sundays) == set()
}

test_the_message_names_the_window_and_why if {
	some violation in found(fixture.but({"now": "2026-12-24T12:00:00Z"}), [christmas])
	violation.msg == concat("", [
		`patchwright/openssl may not start at all: the freeze window "christmas" is on until 2027-01-02T00:00:00+01:00`,
		" (nobody is here); it goes on by itself then",
	])
}

test_it_says_what_may_not_start if {
	some violation in found(fixture.but({"now": "2026-12-06T12:00:00Z", "stage": "canary"}), [sundays])
	contains(violation.msg, "may not start its canary")
	some other in found(fixture.but({"now": "2026-12-06T12:00:00Z", "stage": "wave"}), [sundays])
	contains(other.msg, "may not start its wave")
}

test_a_listed_advisory_passes if {
	open := object.union(christmas, {"exceptAdvisories": ["DSA-*"]})
	ends("2026-12-24T12:00:00Z", open) == set()
	ends("2026-12-24T12:00:00Z", object.union(christmas, {"exceptAdvisories": ["CVE-*"]})) != set()
}
