// What the page that lets the command line in says, in both languages.
import { language } from "/words.mjs";

const WORDS = {
  en: {
    title: "Let the command line in", about: "“vitalwire login” prints a code. Type it here: from then on commands there act as you.",
    code: "Code", find: "Continue", agree: "It is mine: let it in", decline: "Not mine: refuse",
    by: (user, host, address) => `Asked by ${user} on ${host}, from the address ${address}.`,
    warning: until => `Agree only if you started it yourself a moment ago. Whoever has it sees and does what you may, until ${until} at the latest; you end it under “People and sessions”.`,
    agreed: "It is let in. The terminal goes on by itself.", declined: "It is refused.",
    refused: {
      no_such_code: "Nobody waits for this code. It is good once, for ten minutes: look at the terminal, or begin there anew.",
      wait: "Too many wrong codes: wait a minute.", no_access: "You may not do this here.",
      store_away: "The store does not answer: nothing was done. Try again.", server_away: "The server does not answer. Try again.",
    },
    unknown: "Refused. Load the page anew; if it goes on, tell the administrator.",
  },
  zh: {
    title: "授权命令行", about: "“vitalwire login” 会显示一个代码。请在此输入：此后那里的命令将以您的身份执行。",
    code: "代码", find: "继续", agree: "是我本人操作：授权", decline: "不是我：拒绝",
    by: (user, host, address) => `申请来自 ${host} 上的用户 ${user}，地址 ${address}。`,
    warning: until => `仅当您本人刚刚发起时才可同意。持有者可查看和执行您有权进行的一切，最迟至 ${until}；可在“人员与会话”中随时结束。`,
    agreed: "已授权，终端将自动继续。", declined: "已拒绝。",
    refused: {
      no_such_code: "没有等待此代码的申请。代码十分钟内有效且只能使用一次：请核对终端，或在终端重新发起。",
      wait: "错误次数过多，请等待一分钟。", no_access: "您无权在此执行此操作。",
      store_away: "数据库无响应，未执行任何操作。请重试。", server_away: "服务器无响应。请重试。",
    },
    unknown: "已拒绝。请重新加载页面；如仍失败，请告知管理员。",
  },
};

export const commandLineWords = () => WORDS[language];
