package llama

import (
	"math"
	"testing"
)

func TestEmbeddingsAreTheSameTogetherAndAlone(t *testing.T) {
	m := load(t, tinyBERT(t, 1))
	if c, err := m.NewContext(ContextOptions{Size: 64, Threads: 1}); err == nil {
		c.Close()
		t.Fatal("a model that only embeds was taken to generate")
	}
	c := contextWith(t, m, ContextOptions{Size: 128, Sequences: 4, Batch: 200, Embeddings: true, FlashAttention: FlashOff})
	texts := [][]Token{someTokens(m, 1, 3), someTokens(m, 2, 90), someTokens(m, 3, 1), someTokens(m, 4, 30)}
	together, err := c.Embed(texts)
	if err != nil {
		t.Fatal(err)
	}
	for i, text := range texts {
		alone, err := c.Embed([][]Token{text})
		if err != nil {
			t.Fatal(err)
		}
		if len(alone[0]) != m.EmbeddingSize() || cosine(alone[0], together[i]) < 0.99999 {
			t.Errorf("text %d: cosine %v", i, cosine(alone[0], together[i]))
		}
	}
	if cosine(together[0], together[1]) > 0.99999 {
		t.Error("two texts have one vector")
	}
	for name, texts := range map[string][][]Token{
		"none": {}, "five": {{5}, {5}, {5}, {5}, {5}}, "an empty one": {{5}, {}}, "too long": {someTokens(m, 1, 129)},
		"too many tokens": {someTokens(m, 1, 110), someTokens(m, 2, 110)}, "no token": {{-1}},
	} {
		if _, err := c.Embed(texts); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func cosine(a, b []float32) float64 {
	var ab, aa, bb float64
	for i := range a {
		ab, aa, bb = ab+float64(a[i]*b[i]), aa+float64(a[i]*a[i]), bb+float64(b[i]*b[i])
	}
	return ab / math.Sqrt(aa*bb)
}

func TestAGeneratingModelEmbedsWithAPoolingOfItsOwn(t *testing.T) {
	_, m := open(t)
	c := contextWith(t, m, ContextOptions{Size: 64, Sequences: 2, Embeddings: true, Pooling: PoolingMean})
	for range 2 { // what it remembered of the first does not disturb the second
		vectors, err := c.Embed([][]Token{someTokens(m, 1, 5), someTokens(m, 2, 20)})
		if err != nil || len(vectors[0]) != m.EmbeddingSize() || c.Used() != 0 {
			t.Fatalf("%v", err)
		}
	}
}
