/* A PKCS#11 module that is SoftHSM with faults. Files in $SHIM_DIR say which:
 *
 *   logins    gets a line for each C_Login
 *   hang      while it is there, C_Sign does not return
 *   removed   while it is there, C_Sign says CKR_DEVICE_REMOVED
 *   flags     a number in hexadecimal, which C_GetTokenInfo adds to the token's flags
 *   open      while it is there, C_GetAttributeValue says that keys are extractable
 *   nomech    while it is there, C_GetMechanismList lacks CKM_EDDSA
 *
 * Positions in the list of functions are those of PKCS#11 2.40.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef unsigned long rv;
struct list { unsigned char version[2]; void *f[68]; };
struct attribute { unsigned long type; void *value; unsigned long size; };
enum { get_token_info = 6, get_mechanism_list = 7, login = 18, get_attribute_value = 24, sign = 43 };

static struct list real, ours;

static char *in(const char *name) {
	static char path[4096];
	snprintf(path, sizeof path, "%s/%s", getenv("SHIM_DIR"), name);
	return path;
}

static rv shim_login(unsigned long s, unsigned long user, void *pin, unsigned long n) {
	FILE *f = fopen(in("logins"), "a");
	if (f) {
		fputs("login\n", f);
		fclose(f);
	}
	return ((rv(*)(unsigned long, unsigned long, void *, unsigned long))real.f[login])(s, user, pin, n);
}

static rv shim_sign(unsigned long s, void *data, unsigned long n, void *out, unsigned long *size) {
	while (access(in("hang"), F_OK) == 0)
		usleep(10000);
	if (access(in("removed"), F_OK) == 0)
		return 0x32;
	return ((rv(*)(unsigned long, void *, unsigned long, void *, unsigned long *))real.f[sign])(s, data, n, out, size);
}

static rv shim_token_info(unsigned long slot, unsigned char *info) {
	rv r = ((rv(*)(unsigned long, void *))real.f[get_token_info])(slot, info);
	FILE *f = fopen(in("flags"), "r");
	unsigned long more = 0;
	if (f && fscanf(f, "%lx", &more) == 1)
		*(unsigned long *)(info + 96) |= more; /* behind label, manufacturer, model and serial number */
	if (f)
		fclose(f);
	return r;
}

static rv shim_attributes(unsigned long s, unsigned long object, struct attribute *a, unsigned long n) {
	rv r = ((rv(*)(unsigned long, unsigned long, struct attribute *, unsigned long))real.f[get_attribute_value])(s, object, a, n);
	if (access(in("open"), F_OK) == 0)
		for (unsigned long i = 0; i < n; i++)
			if (a[i].type == 0x162 && a[i].value) /* CKA_EXTRACTABLE */
				*(unsigned char *)a[i].value = 1;
	return r;
}

static rv shim_mechanisms(unsigned long slot, unsigned long *all, unsigned long *n) {
	rv r = ((rv(*)(unsigned long, unsigned long *, unsigned long *))real.f[get_mechanism_list])(slot, all, n);
	if (all && access(in("nomech"), F_OK) == 0)
		for (unsigned long i = 0; i < *n; i++)
			if (all[i] == 0x1057)
				all[i] = 0x1058;
	return r;
}

rv C_GetFunctionList(struct list **out) {
	void *lib = dlopen(getenv("SHIM_MODULE"), RTLD_NOW | RTLD_LOCAL);
	rv (*get)(struct list **) = lib ? (rv(*)(struct list **))dlsym(lib, "C_GetFunctionList") : 0;
	struct list *theirs;
	if (!get || get(&theirs) != 0)
		return 5; /* CKR_GENERAL_ERROR */
	real = ours = *theirs;
	ours.f[login] = shim_login;
	ours.f[sign] = shim_sign;
	ours.f[get_token_info] = shim_token_info;
	ours.f[get_attribute_value] = shim_attributes;
	ours.f[get_mechanism_list] = shim_mechanisms;
	*out = &ours;
	return 0;
}
