//go:build tools

// Package tools pins the image registry that registry clients are tested against.
package tools

import _ "github.com/distribution/distribution/v3/cmd/registry"
