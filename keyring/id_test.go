package keyring

import "testing"

func TestParseID(t *testing.T) {
	id, err := ParseID("00ff10a0")
	if err != nil || id != (ID{0, 0xff, 0x10, 0xa0}) || id.String() != "00ff10a0" {
		t.Fatal(id, err)
	}
	for _, text := range []string{"", "00ff10", "00ff10a", "00ff10a0a0", "00FF10A0", "00ff10ag", " 00ff10a0", "0x00ff10", "00ff10a0\n"} {
		if id, err := ParseID(text); err == nil || id != (ID{}) {
			t.Errorf("%q is id %v, %v", text, id, err)
		}
	}
}

func TestNewKeyTakesNoIDTwice(t *testing.T) {
	asked := 0
	k := newKey(epoch, epoch, func(ID) bool { asked++; return asked < 5 })
	if asked != 5 || k.id == (ID{}) || k.material().secret == ([SecretSize]byte{}) {
		t.Fatalf("asked %d times for %v", asked, k)
	}
}
