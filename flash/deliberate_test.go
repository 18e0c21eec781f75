package flash

import (
	"testing"

	"station/spi/spitest"
)

// Misreadings of the data sheet, each put into the driver: opcodes, bits, orders, widths, polarities. The simulator, which was
// written from the data sheet alone, or a vector has to disagree.
func TestDeliberateFaultsAreFound(t *testing.T) {
	spitest.Deliberate(t, "Test(WriteEveryPart|LockNonvolatile|Password$|OTP$)", []spitest.Fault{
		{Name: "opcode of the OTP read as ST's header has it", File: "otp.go", Old: "opReadOTP    = 0x4B", New: "opReadOTP    = 0x48", Run: "TestOTP"},
		{Name: "OTP control byte unlocked by 0", File: "otp.go", Old: "s.Control&otpUnlocked == 0", New: "s.Control&otpUnlocked != 0", Run: "TestOTP"},
		{Name: "protection register high byte first", File: "protection.go", Old: "= got[0], uint16(got[2])|uint16(got[3])<<8", New: "= got[0], uint16(got[3])|uint16(got[2])<<8", Run: "TestPassword"},
		{Name: "lock bits locked by 1", File: "protection.go", Old: "return b&p.NVLBMask == 0", New: "return b&p.NVLBMask != 0", Run: "TestLockNonvolatile|TestFreeze"},
		{Name: "lock bits addressed as the mode says", File: "protection.go", Old: "address(opReadLock, int64(sector)*c.part.Sector, 4)", New: "address(opReadLock, int64(sector)*c.part.Sector, 3)", Run: "TestLockNonvolatile|TestFreeze"},
		{Name: "freeze bit frozen by 1", File: "protection.go", Old: "return b == 0, nil", New: "return b == 1, nil", Run: "TestLockNonvolatile|TestFreeze"},
		{Name: "BP3 in bit 5, where TB is", File: "protection.go", Old: "p.SR>>6&1<<3", New: "p.SR>>5&1<<3", Run: "TestBlockProtection"},
		{Name: "block protection from the other end", File: "protection.go", Old: "if p.SR&(1<<5) != 0 {", New: "if p.SR&(1<<5) == 0 {", Run: "TestBlockProtection"},
		{Name: "block protection of 2^n sectors", File: "protection.go", Old: "p.part.Sector<<(n-1)", New: "p.part.Sector<<n", Run: "TestBlockProtection"},
		{Name: "write enable latch in bit 2", File: "status.go", Old: "statusWEL           = 1 << 1", New: "statusWEL           = 1 << 2", Run: "TestWriteEveryPart"},
		{Name: "flag status ready by 0", File: "status.go", Old: "return s.sr&statusWIP == 0 && s.fsr&fsrReady != 0", New: "return s.sr&statusWIP == 0 && s.fsr&fsrReady == 0", Run: "TestWriteEveryPart"},
		{Name: "program error in bit 5", File: "status.go", Old: "fsrProgramError     = 1 << 4", New: "fsrProgramError     = 1 << 3", Run: "TestUnlockPassword"},
		{Name: "addresses low byte first", File: "status.go", Old: "return []byte{op, byte(addr >> 16), byte(addr >> 8), byte(addr)}", New: "return []byte{op, byte(addr), byte(addr >> 8), byte(addr >> 16)}", Run: "TestWriteEveryPart"},
		{Name: "4-byte mode left by E8", File: "status.go", Old: "opExit4Byte         = 0xE9", New: "opExit4Byte         = 0xE8", Run: "TestApplyMode|TestIdentifyRecovers"},
		{Name: "one die asked for all", File: "status.go", Old: "for range dies {", New: "for range min(dies, 1) {", Run: "TestStacked"},
		{Name: "NVCR high byte first", File: "nvcr.go", Old: "uint16(got[0]) | uint16(got[1])<<8, nil", New: "uint16(got[1]) | uint16(got[0])<<8, nil", Run: "TestWriteNVCR"},
		{Name: "SFDP without dummy clocks", File: "identify.go", Old: "Out: []byte{opReadSFDP, 0, 0, 0, 0}", New: "Out: []byte{opReadSFDP, 0, 0, 0}", Run: "TestIdentify"},
		{Name: "suspended program resumed by the suspend opcode", File: "recover.go", Old: "opResume          = 0x7A", New: "opResume          = 0x75", Run: "TestIdentifyRecovers"},
		{Name: "root key signed by the first 28 bytes", File: "rpmc.go", Old: "signature[4:]...", New: "signature[:28]...", Run: "TestRPMCVectors"},
		{Name: "pages of 512 bytes", File: "plan.go", Old: "page := s.part.Erases[0].Size, s.part.Page", New: "page := s.part.Erases[0].Size, 2*s.part.Page", Run: "TestPlanMakes"},
		{Name: "pages in firmware told at the first one", File: "firmware.go", Old: "cmd = c.together(c.lacking(bounded, run))", New: "cmd = c.together(run[:1])", Run: "TestFirmware"},
		{Name: "pages in firmware told by one reading", File: "firmware.go", Old: "held[k]&again[k]&^want", New: "held[k]&^want", Run: "TestFirmware"},
		{Name: "pages in firmware told by bits that were 0 before", File: "firmware.go", Old: "held[k]&again[k]&^want != 0", New: "held[k]&again[k] != want", Run: "TestFirmware"},
		{Name: "chip that hangs in firmware told as the programmer's fault", File: "firmware.go", Old: "link != nil && !hangs {", New: "link != nil && (true || hangs) {", Run: "TestFirmware"},
		{Name: "pages that were not begun told as hanging", File: "firmware.go", Old: "run = run[:f.Index+1] //", New: "run = run[:len(run)] //", Run: "TestFirmware"},
		{Name: "sub-commands of RPMC relayed", File: "acrtm.go", Old: "case block[0] < rpmcCommands:", New: "case block[0] < rpmcCommands-4:", Run: "TestRelayCheckUnvalidated"},
		{Name: "state-changing block in a read-only step", File: "relay.go", Old: "if cmd.Class != ReadOnly {", New: "if cmd.Class == \"\" {", Run: "TestRelay"},
		{Name: "one-way block without a word", File: "relay.go", Old: "case cmd.OneWay && !a.OneWay:", New: "case cmd.OneWay && a.OneWay && false:", Run: "TestRelay"},
		{Name: "block for another UID", File: "relay.go", Old: "|| b.UID != c.UID()", New: "|| len(b.UID) != len(c.UID())", Run: "TestRelay"},
		{Name: "block for another ID", File: "relay.go", Old: "b.ID != DeviceID(c.id[:6]) || ", New: "", Run: "TestRelay"},
		{Name: "block for another counter", File: "relay.go", Old: "now != *b.Counter", New: "now > *b.Counter", Run: "TestRelayCounter"},
		{Name: "block that may be traced", File: "relay.go", Old: "c.packet(ctx, p, op, packet, true)", New: "c.packet(ctx, p, op, packet, false)", Run: "TestRelay"},
		{Name: "reply whose status turned", File: "relay.go", Old: "err == nil && got[0] != status", New: "err == nil && got[0] == 0", Run: "TestRelayReply"},
		{Name: "counters the other way round", File: "relay.go", Old: "return at(t.Counters.PowerOn), at(t.Counters.Command), nil", New: "return at(t.Counters.Command), at(t.Counters.PowerOn), nil", Run: "TestRelay"},
		{Name: "block longer than its entry", File: "acrtm.go", Old: "|| len(block) > found.Max", New: "", Run: "TestRelayCheckAnyTable|TestACRTM|TestRelay"},
		{Name: "entries apart by lengths alone", File: "acrtm_validate.go", Old: "m.At == n.At && m.Value != n.Value", New: "m.At == n.At && m.Value != n.Value || c.Min != other.Min", Run: "TestACRTMValidate"},
		{Name: "CRC over a range that ends one byte later", File: "crc.go", Old: "if c.part.CRC.StopIncluded {", New: "if !c.part.CRC.StopIncluded {", Run: "TestCheckCRC"},
	})
}
