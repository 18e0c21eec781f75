// Package yamltext reads a YAML file that people write, and shows every mistake in it at its place: file, line, column, the lines
// around it with a caret, and a suggestion. Recipes and the station's configuration are read through it, so that
// their authors meet one manner of being told.
//
// It knows YAML and people, and nothing of what a file is about: which keys there are, and what their values
// mean, belongs to whoever reads the file.
package yamltext
