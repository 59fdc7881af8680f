//go:build tools

// Package tools pins the Git host that pull requests are tested against.
package tools

import _ "code.gitea.io/gitea"
