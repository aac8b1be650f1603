// What the page that signs in says, in both languages.
import { language } from "/words.mjs";

const WORDS = {
  en: {
    title: "Sign in", provider: "Sign in with the hospital's account", emergency: "Emergency account",
    emergencyAbout: "From a sealed envelope, while nothing else works. The auditor is told at once, and what you chart waits for a licensed person.",
    account: "Account", password: "Password", open: "Open",
    demo: "This is the demo: open one of the links that it printed. Each signs in once, within ten minutes.",
    refused: {
      provider: "The sign-in was refused. Try again; if it goes on, tell the administrator when it happened.",
      provider_away: "The hospital's sign-in does not answer. A security key still opens; whoever is in stays in.",
      clock: "The clock of this server and that of the hospital's sign-in differ by more than a minute: tell the administrator.",
      nobody: "The sign-in was refused. Try again; if it goes on, tell the administrator when it happened.",
      link_used: "This link was used, or is older than ten minutes: take a new one from where the demo runs.",
      wrong: "Account or password is wrong.",
      wait: seconds => `Too many tries: wait ${seconds} s.`,
      not_own: "Refused: this did not come from this page. Open it anew by the address that was given to you.",
      unreadable: "The server did not understand this page: load it anew.",
      store_away: "The store does not answer: nobody can sign in now. Try again.",
      server_away: "The server does not answer. Try again.",
    },
  },
  zh: {
    title: "登录", provider: "使用医院账号登录", emergency: "应急账号",
    emergencyAbout: "账号在密封信封内，仅在其他方式均不可用时使用。审计员会立即收到通知；您的记录须由有执业资格的人员确认。",
    account: "账号", password: "密码", open: "启用",
    demo: "这是演示系统：请打开它显示的链接。每个链接十分钟内有效，只能使用一次。",
    refused: {
      provider: "登录被拒绝。请重试；如仍失败，请将发生时间告知管理员。",
      provider_away: "医院登录系统无响应。安全密钥仍可使用；已登录者不受影响。",
      clock: "本服务器与医院登录系统的时钟相差超过一分钟，请告知管理员。",
      nobody: "登录被拒绝。请重试；如仍失败，请将发生时间告知管理员。",
      link_used: "此链接已被使用或已超过十分钟，请从演示程序处获取新链接。",
      wrong: "账号或密码错误。",
      wait: seconds => `尝试次数过多，请等待 ${seconds} 秒。`,
      not_own: "已拒绝：请求并非来自本页面。请用提供给您的地址重新打开。",
      unreadable: "服务器无法理解本页面，请重新加载。",
      store_away: "数据库无响应，目前无法登录。请重试。",
      server_away: "服务器无响应。请重试。",
    },
  },
};

export const signInWords = () => WORDS[language];
