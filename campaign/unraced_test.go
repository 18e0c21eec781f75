//go:build !race

package campaign

const raced = false
