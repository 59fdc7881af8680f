//go:build tools

// Package tools pins the controller of Argo Rollouts, for tests of workloads that it rolls out.
package tools

import _ "github.com/argoproj/argo-rollouts/cmd/rollouts-controller"
