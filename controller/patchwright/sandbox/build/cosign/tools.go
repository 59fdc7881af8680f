//go:build tools

// Package tools pins cosign, with which tests sign what the operator verifies.
package tools

import _ "github.com/sigstore/cosign/v3/cmd/cosign"
