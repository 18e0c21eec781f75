// Package recipes says what is to be done to a unit: it turns a YAML file and its images into a
// validated, immutable Recipe, or into a list of every mistake with its line and column.
//
// A Recipe cannot exist in an invalid state. The checker walks the steps for every part that the
// recipe lists and proves the order rules: nothing is written after it is locked, a lock comes after
// the step that wrote and verified what it locks, nonvolatile lock bits are set before the freeze,
// regions fit the part and do not overlap, a chip takes one mode of protection, after its locks and before
// the freeze, root keys and counters are there and are written once, what is measured is known beforehand and what a
// measurement is to prove is measured before its lock. What differs between units is settled by
// Bind. The package also says which bytes each step wants on the chip (Wanted), so that the plan
// which the author reads and the engine which acts cannot differ.
//
// What does not belong here: talking to a chip, choosing erases (flash), running steps, outcomes,
// retries (provision), facts about the station, such as who an escrow group is (config.yaml), and secrets: a recipe
// says where they come from and who can open them, and never holds one.
//
// # The file, schema 1
//
// One YAML document of at most 1 MiB in UTF-8, without anchors, aliases, tags or merge keys. Unknown
// and repeated keys are errors.
//
//	schema: 1
//	recipe: gateway-boot        # ^[a-z0-9][a-z0-9-]{0,63}$
//	version: 3                  # whole number, 1 or more
//	title: Gateway boot flash   # one line
//	parts: [MT25QL256ABA]       # profiles that package flash knows, or files of the folder parts beside the recipe
//	serial: '^GW-[0-9]{6}$'     # RE2; a scan has to match it whole
//	images:
//	  boot: {file: images/boot.bin, sha256: "..."}   # relative to the recipe's folder; `station recipe pin` fills the digest
//	regions:
//	  boot: {at: 0x0, size: 4MiB}
//	elsewhere: blank            # or keep: what happens to bytes outside the regions
//	values:                     # what is written besides the serial, at most 256 bytes each
//	  mac: {scan: true, bytes: 6}                       # comes with each unit
//	  board: {hex: "02AB"}                              # the same for all
//	steps:
//	  - write: {region: boot, image: boot}              # the rest of the region is FF
//	  - write:
//	      region: identity
//	      fields:                                       # one after the other, without gaps
//	        - {text: serial, size: 32, pad: 0xFF}       # UTF-8; pad fills up behind it, FF when omitted
//	        - {bytes: mac, size: 6}                     # size may be omitted
//	        - {crc32: [serial, mac], endian: little}    # CRC-32 (zlib, Ethernet) over these fields as written, padding
//	                                                    # included, in this order; 4 bytes, or big: high byte first
//	  - write: {region: app, image: app, verify: crc}   # weaker than reading back: the chip computes a CRC-64 over the region
//	  - write: {region: app, image: app, verify: measurement}   # not read back: a measure of it follows, before its lock
//	  - erase: {regions: [spare]}
//	  - measure: {region: boot}                         # the chip measures, the key server judges
//	  - relay:                                          # blocks that the key server makes and signs for this chip
//	      job: settings                                 # the server's name for what is to be done
//	      access: state-changing                        # or read-only
//	      commands: [erase, write]                      # entries of the parts' tables; no block of another one is sent
//	      region: settings                              # what it is about; read-only perhaps without
//	      image: settings                               # what the region holds behind it, perhaps; read back; no command is one-way then
//	  - lock: {regions: [boot], bits: nonvolatile}      # or volatile, then perhaps lock_down: true; or block, one range at either end
//	  - config: {nvcr: 0xFFFE}                          # nonvolatile configuration register, from the next power-up on
//	  - raw: {send: "85", expect: "FB"}                 # or read: 1; write_enable: true sends 06 first. Where the station allows it
//	  - freeze
//	  - reset
//	  - power_cycle
//	  - check: {locked: [boot], frozen: true}
//	  - root_key: {index: 0, key: {derive: line/root-2026}, escrow: [audit]}    # or key: {random: per-unit}
//	  - counter: {index: 0, to: 5}                      # after root_key, and only where that key is derived
//	  - password: {generate: per-unit, escrow: [audit], exercise: reset}        # or power_cycle, or no exercise
//	  - persistent_protection                           # the other one-way mode: no password, ever
//	  - otp: {fields: [{text: serial, size: 32}], lock: true}                   # from byte 0 of the area on; lock: for ever
//	permanent: [root_key, counter, password, otp]   # exactly the one-way kinds of step that are used; relay is one where a command of it is
//
// Addresses and sizes are bytes: 4194304, 0x400000, 64KiB or 4MiB. escrow names groups of the station's configuration.
//
// # The digest
//
// Recipe.Digest is "sha256:" and 64 lower-case hex digits: SHA-256 over the RFC 8785 (JCS) form of
//
//	{
//	  "schema": 1,
//	  "recipe": "gateway-boot",
//	  "version": 3,
//	  "title": "Gateway boot flash",
//	  "parts": ["MT25QL256ABA"],                              in the order of the file
//	  "serial": "^GW-[0-9]{6}$",                              as written
//	  "images": {"boot": {"sha256": "9f86...", "size": 4194304}},
//	  "regions": {"boot": {"at": 0, "size": 4194304}},
//	  "elsewhere": "blank",
//	  "steps": [                                              as written: the implied Blank step is not listed
//	    {"write": {"image": "boot", "region": "boot"}},
//	    {"erase": {"regions": ["spare"]}},
//	    {"lock": {"bits": "nonvolatile", "regions": ["boot"]}},
//	    {"freeze": {}}, {"reset": {}}, {"power_cycle": {}},
//	    {"check": {"frozen": true, "locked": ["boot"]}}       a member that the file omits is omitted
//	  ],
//	  "permanent": []                                         kinds, in the order in which the steps first use them
//	}
//
// A recipe that has values has one member more, and these steps look like this:
//
//	"values": {"mac": {"bytes": 6, "scan": true}, "board": {"hex": "02ab"}},       hex in lower case
//	{"write": {"fields": [{"pad": 255, "size": 32, "text": "serial"}, {"bytes": "mac", "size": 6},
//	                      {"crc32": ["serial", "mac"], "endian": "little"}], "region": "identity"}},
//	{"root_key": {"escrow": ["audit"], "index": 0, "key": {"derive": "line/root-2026"}}},     or {"random": "per-unit"}
//	{"counter": {"index": 0, "to": 5}},
//	{"password": {"escrow": ["audit"], "exercise": "reset", "generate": "per-unit"}},    no exercise, no member
//	{"persistent_protection": {}},
//	{"otp": {"fields": [{"pad": 255, "size": 32, "text": "serial"}], "lock": true}},
//	{"config": {"nvcr": 65534}},
//	{"raw": {"expect": "fb", "send": "85"}},             or "read": 1 in place of expect; with it "write_enable": true
//	{"measure": {"region": "boot"}},
//	{"relay": {"access": "state-changing", "commands": ["erase", "write"], "image": "settings", "job": "settings", "region": "settings"}}
//	                                                     no region or image, no member
//
// A write that is verified by CRC has "verify": "crc", one that is to be measured "verify": "measurement", and a lock that locks down "lock_down": true; in others these members are absent.
//
// Lists stand in the order of the file, permanent excepted. All members are present but those of check, values and
// exercise; pad and size are present where the file omits them; "images" may be {}. Sizes are bytes, sha256 is 64
// lower-case hex digits. Comments, layout, the order of images and regions, and the names of image files
// do not change it. Test vectors: testdata/digest/.
package recipes
