//go:build ignore

// Generate writes the sample images, which are too large to be kept in the repository:
//
//	go run recipes/images/generate.go
package main

import (
	"fmt"
	"os"

	"station/recipes"
)

func main() {
	if err := recipes.Unpack("recipes"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
