//go:build !js

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// preferences of a Firefox that shows nothing but the page it was given.
const preferences = `user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("browser.startup.page", 0);
user_pref("browser.aboutwelcome.enabled", false);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("termsofuse.bypassNotification", true);
`

// command returns what starts the browser that SKERRY_ENGINE names on a page.
func command(profile, url string) (*exec.Cmd, error) {
	switch engine := os.Getenv("SKERRY_ENGINE"); engine {
	case "", "chromium":
		return exec.Command(pathOr("CHROMIUM", "chromium"), "--headless", "--no-sandbox", "--disable-gpu",
			"--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
			"--disable-sync", "--user-data-dir="+profile, url), nil
	case "firefox":
		if err := os.WriteFile(filepath.Join(profile, "user.js"), []byte(preferences), 0o600); err != nil {
			return nil, err
		}
		return exec.Command(pathOr("FIREFOX", "firefox-esr"), "--headless", "--no-remote", "--profile", profile, url), nil
	case "webkit":
		found, _ := filepath.Glob("/usr/lib/*/webkit2gtk-4.*/MiniBrowser")
		if len(found) == 0 {
			return nil, errors.New("no MiniBrowser of WebKitGTK (Debian: apt-get install webkit2gtk-driver)")
		}
		cmd := exec.Command(found[len(found)-1], url)
		cmd.Env = append(os.Environ(), "HOME="+profile, "XDG_RUNTIME_DIR="+profile, "NO_AT_BRIDGE=1")
		if os.Getuid() == 0 { // its sandbox does not start for root
			cmd.Env = append(cmd.Env, "WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS=1")
		}
		return cmd, nil
	default:
		return nil, fmt.Errorf("SKERRY_ENGINE is %q: not chromium, firefox or webkit", engine)
	}
}

// pathOr returns the value of an environment variable, or a name if there is none.
func pathOr(variable, name string) string {
	if path := os.Getenv(variable); path != "" {
		return path
	}
	return name
}
