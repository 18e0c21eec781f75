// Package recipes says what is to be done to a unit: it turns a YAML file and its images into a
// validated, immutable Recipe, or into a list of every mistake with its line and column.
//
// A Recipe cannot exist in an invalid state. The checker walks the steps for every part that the
// recipe lists and proves the order rules: nothing is written after it is locked, a lock comes after
// the step that wrote and verified what it locks, nonvolatile lock bits are set before the freeze,
// regions fit the part and do not overlap. The package also says which bytes each step wants on the
// chip (Wanted), so that the plan which the author reads and the engine which acts cannot differ.
//
// What does not belong here: talking to a chip, choosing erases (flash), running steps, outcomes,
// retries (provision), facts about the station (config.yaml).
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
//	parts: [MT25QL256ABA]       # profiles that package flash knows
//	serial: '^GW-[0-9]{6}$'     # RE2; a scan has to match it whole
//	images:
//	  boot: {file: images/boot.bin, sha256: "..."}   # relative to the recipe's folder; `station recipe pin` fills the digest
//	regions:
//	  boot: {at: 0x0, size: 4MiB}
//	elsewhere: blank            # or keep: what happens to bytes outside the regions
//	steps:
//	  - write: {region: boot, image: boot}              # the rest of the region is FF
//	  - erase: {regions: [spare]}
//	  - lock: {regions: [boot], bits: nonvolatile}      # or volatile
//	  - freeze
//	  - reset
//	  - power_cycle
//	  - check: {locked: [boot], frozen: true}
//	permanent: []               # every one-way kind of step; this version carries out none
//
// Addresses and sizes are bytes: 4194304, 0x400000, 64KiB or 4MiB.
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
//	  "permanent": []
//	}
//
// Lists stand in the order of the file. All members are present but those of check; "images" may be {}. Sizes are bytes, sha256 is 64
// lower-case hex digits. Comments, layout, the order of images and regions, and the names of image files
// do not change it. Test vectors: testdata/digest/.
package recipes
