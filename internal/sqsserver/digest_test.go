package sqsserver

import "testing"

// The digests are those AWS answered to other clients' test messages, so they
// hold our encoding against AWS's and not against itself.
func TestAttributesDigest(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		attrs []attribute
		want  string
	}{
		"none":              {nil, ""},
		"a number":          {[]attribute{{name: "timestamp", dataType: "Number", text: "1493147359900"}}, "235c5c510d26fb653d073faed50ae77c"},
		"a labelled number": {[]attribute{{name: "timestamp", dataType: "Number.java.lang.Long", text: "1493147359900"}}, "2e2e4876d8e0bd6b8c2c8f556831c349"},
		"two texts": {[]attribute{
			{name: "test_attribute_name_1", dataType: "String", text: "test_attribute_value_1"},
			{name: "test_attribute_name_2", dataType: "String", text: "test_attribute_value_2"},
		}, "d53f3b558fe951154770f25cb63dbba9"},
		"a binary": {[]attribute{
			{name: "test_attribute_name", dataType: "Binary", binary: []byte("test_attribute_value"), isBinary: true},
		}, "23f6bd27ea87aab7dfeadcc9aebee495"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := attributesDigest(tc.attrs); got != tc.want {
				t.Errorf("digest %s, want %s", got, tc.want)
			}
		})
	}
}
