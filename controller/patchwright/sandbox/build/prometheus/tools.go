//go:build tools

// Package tools pins the Prometheus server that health checks are tested against.
package tools

import _ "github.com/prometheus/prometheus/cmd/prometheus"
