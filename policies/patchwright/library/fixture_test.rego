# A whole input document, so that a test changes only what it is about; test_policies_library.py holds it to the schema.
package patchwright.library.fixture_test

base := {
	"apiVersion": "patchwright.dev/v1alpha1",
	"kind": "PolicyInput",
	"now": "2026-12-03T10:30:00Z",
	"stage": "start",
	"wave": {
		"index": -1,
		"name": "",
		"size": 0,
		"targets": [],
		"targetsTotal": 0,
		"protected": [],
		"protectedTotal": 0,
		"workloads": [],
	},
	"plan": [{"name": "canary", "size": 2}, {"name": "wave-1", "size": 8}, {"name": "wave-2", "size": 10}],
	"rollout": {
		"name": "openssl",
		"namespace": "patchwright",
		"labels": {},
		"annotations": {},
		"createdAt": "2026-12-03T10:00:00Z",
		"change": {
			"kind": "script",
			"version": "3.0.15-1~deb12u1",
			"image": "registry.example/patch:3.0.15",
			"digest": null,
			"reboot": "Never",
			"privileged": true,
			"images": [],
			"prepare": false,
		},
		"advisories": ["DSA-5532-1"],
	},
	"policy": {
		"name": "nodes",
		"namespace": "patchwright",
		"labels": {},
		"strategy": {
			"canary": {"count": 2, "soakSeconds": 300},
			"waves": [{"size": 8, "soakSeconds": 60}],
			"maxUnavailable": "10%",
			"failureThreshold": 1,
		},
		"maintenanceWindows": [{"start": "0 2 * * *", "durationSeconds": 7200, "timeZone": "UTC"}],
		"rollback": {"enabled": true, "scope": "All"},
	},
	"fleet": {
		"selected": 20,
		"updated": 0,
		"unavailable": 0,
		"skipped": 0,
		"maxUnavailable": 2,
		"protected": [],
		"protectedTotal": 0,
		"zones": {"a": 10, "b": 10},
		"controlPlane": 0,
		"target": "node",
		"kinds": {},
		"namespaces": {},
	},
	"source": {"revision": "main@sha1:0123456789012345678901234567890123456789"},
	"release": {"publishedAt": "2026-12-01T00:00:00Z", "ageDays": 2},
}

# The document with the given fields changed; they merge deeply.
but(changes) := object.union(base, changes)

# The document before the step `name` with these targets.
step(name, targets, protected) := but({
	"stage": "wave",
	"wave": {
		"index": 1,
		"name": name,
		"size": count(targets),
		"targets": targets,
		"targetsTotal": count(targets),
		"protected": protected,
		"protectedTotal": count(protected),
	},
})

# The document of a rollout of images over Deployments in two namespaces.
images := but({
	"rollout": {"change": {
		"kind": "images",
		"version": "api:1.4.3",
		"image": "ghcr.io/acme/api:1.4.3@sha256:12",
		"digest": "sha256:12",
		"privileged": false,
		"images": [signed],
	}},
	"fleet": {"target": "workload", "kinds": {"Deployment": 20}, "namespaces": {"shop": 15, "pay": 5}},
})

# An image that somebody vouches for.
signed := {
	"image": "ghcr.io/acme/api",
	"tag": "1.4.3",
	"digest": "sha256:12",
	"registry": "ghcr.io",
	"verify": true,
	"signed": true,
	"key": "release.pub",
	"issuer": "",
	"subject": "",
	"attestations": ["https://slsa.dev/provenance/v1"],
	"error": "",
	"since": "2026-11-01T10:00:00Z",
	"ageDays": 32,
	"ageSource": "Signature",
}

# The document of a rollout of that image, with other facts about it.
image(facts) := object.union(images, {"rollout": {"change": {"images": [object.union(signed, facts)]}}})

test_a_step_replaces_the_empty_wave if step("wave-1", ["n1"], []).wave.size == 1
