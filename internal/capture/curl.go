package capture

import "strings"

// curl reads the cookies of a command that a browser's "Copy as cURL" gives: of
// -b and --cookie, and of a -H that is a Cookie header. It reports false for
// other text.
func (j *jar) curl(text string) bool {
	all := shellWords(text)
	if len(all) < 2 || all[0] != "curl" && !strings.HasSuffix(all[0], "/curl") {
		return false
	}
	for i, word := range all[1:] {
		flag, value, joined := strings.Cut(word, "=")
		if !joined || !strings.HasPrefix(flag, "--") {
			if flag, value = word, ""; i+2 < len(all) {
				value = all[i+2]
			}
		}
		switch flag {
		case "-b", "--cookie": // without = it is a file's name
			j.header("cookie", value)
		case "-H", "--header":
			if name, value, ok := header(value); ok {
				j.header(name, value)
			}
		}
	}
	return true
}

// shellWords parts a command line as a POSIX shell does, without expanding
// anything; $'…' is taken for '…'.
func shellWords(text string) (words []string) {
	var word strings.Builder
	var quote byte
	within := false
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case quote == '\'' && c != quote, quote == '"' && c != quote && c != '\\':
			word.WriteByte(c)
		case c == '\\' && i+1 < len(text):
			if i++; text[i] != '\n' {
				word.WriteByte(text[i])
				within = true
			}
		case quote != 0: // its end
			quote = 0
		case c == '\'' || c == '"':
			quote, within = c, true
		case c == '$' && i+1 < len(text) && text[i+1] == '\'':
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			if within {
				words = append(words, word.String())
			}
			word.Reset()
			within = false
		default:
			word.WriteByte(c)
			within = true
		}
	}
	if within {
		words = append(words, word.String())
	}
	return words
}
