# METADATA
# title: Freeze windows
# description: >-
#   Nothing starts while a freeze is on: fixed ones (start and end as RFC 3339) and weekly ones (weekdays, from, to,
#   timeZone; `to` before `from` runs past midnight). What already started finishes. The refusal is temporary: it
#   carries `until`, and the rollout waits.
# custom:
#   severity: high
#   category: Change management
# related_resources:
# - ref: https://www.openpolicyagent.org/docs/policy-reference#time
#   description: Rego's time built-ins; the instant comes from input.now, never from a clock
package patchwright.library.freeze_windows

windows := object.get(data.patchwright.parameters, ["freezeWindows"], [])

now_ns := time.parse_rfc3339_ns(input.now)

minute_ns := 60 * 1000000000

# METADATA
# title: A freeze window is on
# description: Refuses a start while a window of the parameter freezeWindows is on.
# custom:
#   severity: high
#   category: Change management
deny contains violation if {
	some window in windows
	not exempt(window)
	until := ends(window)
	violation := {
		"msg": sprintf("%s/%s may not start %s: the freeze window %q is on until %s%s; it goes on by itself then", [
			input.rollout.namespace,
			input.rollout.name,
			stage,
			window.name,
			until,
			because(window),
		]),
		"severity": "high",
		"details": {"window": window.name, "until": until},
		"remediation": "Wait, or let the owner of the freeze list the advisory in the window's exceptAdvisories.",
	}
}

stage := "its wave" if {
	input.stage == "wave"
} else := "its canary" if {
	input.stage == "canary"
} else := "at all"

because(window) := sprintf(" (%s)", [window.reason])

because(window) := "" if not window.reason

exempt(window) if {
	some pattern in window.exceptAdvisories
	some advisory in input.rollout.advisories
	glob.match(pattern, null, advisory)
}

# A fixed window: the end itself is outside.
ends(window) := window.end if {
	now_ns >= time.parse_rfc3339_ns(window.start)
	now_ns < time.parse_rfc3339_ns(window.end)
}

# A weekly one. The minutes left are counted on the wall clock, so in a night with a DST change `until` can be an hour
# off; whoever waits asks again then, and is told the rest.
ends(window) := until if {
	zone := object.get(window, "timeZone", "UTC")
	left := minutes_left(window, weekday(now_ns, zone), weekday(now_ns - ((24 * 60) * minute_ns), zone), clock(zone))
	until := time.format([(now_ns - (now_ns % minute_ns)) + (left * minute_ns), "UTC", "RFC3339"])
}

# Within one day.
minutes_left(window, today, _, at) := minutes(window.to) - at if {
	today in window.weekdays
	minutes(window.from) < minutes(window.to)
	at >= minutes(window.from)
	at < minutes(window.to)
}

# Past midnight, in the evening of its day.
minutes_left(window, today, _, at) := ((24 * 60) - at) + minutes(window.to) if {
	today in window.weekdays
	minutes(window.from) >= minutes(window.to)
	at >= minutes(window.from)
}

# Past midnight, in the morning after its day.
minutes_left(window, _, yesterday, at) := minutes(window.to) - at if {
	yesterday in window.weekdays
	minutes(window.from) >= minutes(window.to)
	at < minutes(window.to)
}

weekday(ns, zone) := substring(time.weekday([ns, zone]), 0, 3)

clock(zone) := (hour * 60) + minute if [hour, minute, _] := time.clock([now_ns, zone])

minutes(text) := (to_number(hour) * 60) + to_number(minute) if [hour, minute] := split(text, ":")
