//go:build tools

// Package tools pins two controllers of Flux, for tests of workloads that it applies from Git.
package tools

import (
	_ "github.com/fluxcd/kustomize-controller"
	_ "github.com/fluxcd/source-controller"
)
